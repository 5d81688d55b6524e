"""`webdataset.filters`: the stages, and under names with an underscore the same as functions whose first argument is the data."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from asyncwds.pipeline.stage import FilterFunction, PipelineStage, RestCurried, pipelinefilter
from asyncwds.pipeline.stages import batches, fields, inspecting, patterns, sampling
from asyncwds.pipeline.stages import shuffle as shuffling
from asyncwds.pipeline.stages import xdecode as xdecoding
from asyncwds.pipeline.stages.batches import batched, unbatched, unlisted
from asyncwds.pipeline.stages.cached import Cached
from asyncwds.pipeline.stages.collation import combine_values, default_collation_fn, dict2tuple, tuple2dict
from asyncwds.pipeline.stages.composition import compose, compose2, identity, pipeline
from asyncwds.pipeline.stages.fields import associate, getfirst, map_dict, parse_field_spec, rename
from asyncwds.pipeline.stages.inspecting import info, log_keys
from asyncwds.pipeline.stages.lmdb_cached import LMDBCached
from asyncwds.pipeline.stages.map import (
    decode,
    map,  # noqa: A004
    select,
)
from asyncwds.pipeline.stages.patterns import extract_keys, rename_keys
from asyncwds.pipeline.stages.sampling import rsample
from asyncwds.pipeline.stages.shuffle import detshuffle, shuffle
from asyncwds.pipeline.stages.slice import slice  # noqa: A004
from asyncwds.pipeline.stages.tuples import map_tuple, to_tuple, transform_with
from asyncwds.pipeline.stages.xdecode import decode_bin, decode_pickle, decode_text, default_decoders, find_decoder, xdecode
from asyncwds.runtime.handlers import Handler, reraise_exception
from asyncwds.samples import Sample
from asyncwds.shards.plan import pick

__all__ = [
    "Cached",
    "FilterFunction",
    "LMDBCached",
    "PipelineStage",
    "RestCurried",
    "associate",
    "batched",
    "combine_values",
    "compose",
    "compose2",
    "decode",
    "decode_bin",
    "decode_pickle",
    "decode_text",
    "default_collation_fn",
    "default_decoders",
    "detshuffle",
    "dict2tuple",
    "extract_keys",
    "find_decoder",
    "getfirst",
    "identity",
    "info",
    "log_keys",
    "map",
    "map_dict",
    "map_tuple",
    "parse_field_spec",
    "pick",
    "pipeline",
    "pipelinefilter",
    "rename",
    "rename_keys",
    "reraise_exception",
    "rsample",
    "select",
    "shuffle",
    "slice",
    "to_tuple",
    "transform_with",
    "tuple2dict",
    "unbatched",
    "unlisted",
    "xdecode",
]

Data = Iterable[Any]
Items = Iterator[Any]


def _info(  # noqa: PLR0917 - WebDataset's
    data: Data, fmt: str | None = None, n: int = 3, every: int = -1, width: int = 50, stream: Any = sys.stderr, name: str = ""
) -> Items:
    return inspecting.info(fmt, n, every, width, stream, name)(data)


def _shuffle(  # noqa: PLR0917 - WebDataset's
    data: Data, bufsize: int = 1000, initial: int = 100, rng: Any = None, seed: int | None = None, handler: Handler | None = None
) -> Items:
    return shuffling.shuffle(bufsize, initial, rng, seed, handler)(data)


def _select(data: Data, predicate: Callable[[Any], Any]) -> Items:
    return select(predicate)(data)


def _log_keys(data: Data, logfile: str | None = None) -> Items:
    return inspecting.log_keys(logfile)(data)


def _decode(data: Data, *args: Any, handler: Handler = reraise_exception, **kw: Any) -> Items:
    return decode(*args, handler=handler, **kw)(data)


def _map(data: Data, f: Callable[[Any], Any], handler: Handler = reraise_exception) -> Items:
    return map(f, handler)(data)


def _rename(data: Data, handler: Handler = reraise_exception, keep: bool = True, **kw: str) -> Items:
    return rename(handler, keep, **kw)(data)


def _associate(data: Data, associator: Any, **kw: Any) -> Items:
    return fields.associate(associator, **kw)(data)


def _map_dict(data: Data, handler: Handler = reraise_exception, **kw: Any) -> Items:
    return fields.map_dict(handler, **kw)(data)


def _to_tuple(
    data: Data,
    *args: Any,
    handler: Handler = reraise_exception,
    missing_is_error: bool = True,
    none_is_error: bool | None = None,
) -> Items:
    return to_tuple(*args, handler=handler, missing_is_error=missing_is_error, none_is_error=none_is_error)(data)


def _map_tuple(data: Data, *args: Callable[[Any], Any] | None, handler: Handler = reraise_exception) -> Items:
    return map_tuple(*args, handler=handler)(data)


def _batched(data: Data, batchsize: int = 20, collation_fn: Any = default_collation_fn, partial: bool = True) -> Items:
    return batches.batched(batchsize, collation_fn, partial)(data)


def _unlisted(data: Data) -> Items:
    return batches.unlisted()(data)


def _unbatched(data: Data) -> Items:
    return batches.unbatched()(data)


def _rsample(data: Data, p: float = 0.5) -> Items:
    return sampling.rsample(p)(data)


def _extract_keys(source: Data, *patterns_: Any, duplicate_is_error: bool = True, ignore_missing: bool = False) -> Items:
    return patterns.extract_keys(*patterns_, duplicate_is_error=duplicate_is_error, ignore_missing=ignore_missing)(source)


def _rename_keys(
    source: Data,
    *args: Any,
    keep_unselected: bool = False,
    must_match: bool = True,
    duplicate_is_error: bool = True,
    **kw: Any,
) -> Iterator[Sample]:
    options: dict[str, Any] = {
        "keep_unselected": keep_unselected,
        "must_match": must_match,
        "duplicate_is_error": duplicate_is_error,
    }
    return patterns.rename_keys(*args, **options, **kw)(source)


def _xdecode(source: Data, *args: Any, must_decode: bool = True, defaults: Any = default_decoders, **kw: Any) -> Items:
    return xdecoding.xdecode(*args, must_decode=must_decode, defaults=defaults, **kw)(source)
