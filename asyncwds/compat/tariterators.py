"""`webdataset.tariterators`: archives as separate stages, as other people's code puts them together.

`trace`, `meta_prefix` and `meta_suffix` may be set: they hold for the functions of this module. `url_opener`, `tar_file_expander`
and `group_by_keys` may be replaced, as people do it: `tarfile_to_samples` then goes by them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import wraps
from inspect import signature
from random import Random
from typing import Any, ClassVar, ParamSpec

from asyncwds.compat import grouping, tar_stages
from asyncwds.compat.grouping import valid_sample
from asyncwds.compat.tar_stages import Renames, Selects, url_opener
from asyncwds.errors import SpecError
from asyncwds.formatting.texts import printable
from asyncwds.pipeline.context import RunContext, StageStream
from asyncwds.pipeline.protocol import JsonValue, Stream
from asyncwds.pipeline.reading_again import SamplesAgain
from asyncwds.pipeline.tar_samples import TarSamples
from asyncwds.runtime.handlers import Handler, reraise_exception
from asyncwds.samples import Sample
from asyncwds.tar.grouping import Keys, base_plus_ext

__all__ = [
    "base_plus_ext",
    "group_by_keys",
    "meta_prefix",
    "meta_suffix",
    "reraise_exception",
    "shardlist",
    "tar_file_expander",
    "tar_file_iterator",
    "tarfile_samples",
    "tarfile_to_samples",
    "trace",
    "url_opener",
    "valid_sample",
]

P = ParamSpec("P")

trace = False  # whether `group_by_keys` writes each file's key and suffix to stdout
meta_prefix = "__"
meta_suffix = "__"  # files without a folder whose names begin and end so are skipped


def shardlist(urls: Any, *, shuffle: bool = False) -> Iterator[dict[str, str]]:
    """`{"url": url}` for each url, in random order with `shuffle`."""
    listed = list(urls)
    if shuffle:
        Random().shuffle(listed)  # noqa: S311 - an order, no secret
    return ({"url": url} for url in listed)


def _without_meta(iterate: Callable[P, Iterator[Any]]) -> Callable[P, Iterator[Any]]:
    """The same function, passing over meta files as this module's prefix and suffix say."""
    parameters = signature(iterate)

    @wraps(iterate, assigned=("__name__", "__qualname__", "__doc__", "__annotations__"))
    def iterate_without(*args: P.args, **options: P.kwargs) -> Iterator[Any]:
        bound = parameters.bind(*args, **options)
        given = bound.arguments
        functions = _pass_over_meta(given.get("rename_files"), given.get("select_files"))
        given["rename_files"], given["select_files"] = functions
        return iterate(*bound.args, **bound.kwargs)

    return iterate_without


tar_file_expander = _without_meta(tar_stages.tar_file_expander)
tar_file_iterator = _without_meta(tar_stages.tar_file_iterator)


def group_by_keys(
    data: Iterable[Any],
    keys: Keys = base_plus_ext,
    lcase: bool = True,
    suffixes: Collection[str] | None = None,
    handler: Handler = reraise_exception,
) -> Iterator[Sample]:
    """See `asyncwds.group_by_keys`."""
    return grouping.group_by_keys(data, _traced(keys) if trace else keys, lcase, suffixes, handler)


@dataclass(frozen=True)
class TarFileSamples:
    """The stage from shards to samples: by the engine, unless a part of this module has been replaced."""

    engine: TarSamples
    reads_ahead: ClassVar = True

    def __call__(self, shards: Iterable[Any]) -> Iterator[Sample]:
        return self._by_parts(shards) if _replaced() else self.engine(shards)

    def open(self, source: Stream, context: RunContext) -> Stream:
        if not _replaced():
            return self.engine.open(source, context)
        if context.skipping is not None:
            raise SpecError("skip is of no use where parts of asyncwds.tariterators were replaced: use select")
        return StageStream(lambda: self._by_parts(source), source)

    def reopen(self, source: Stream, context: RunContext, state: JsonValue) -> Stream:
        return self.engine.reopen(source, context, state)

    def read_again(self, context: RunContext, refs: Iterable[tuple[int, int, int]], state: JsonValue) -> SamplesAgain:
        return self.engine.read_again(context, refs, state)

    def _by_parts(self, shards: Iterable[Any]) -> Iterator[Sample]:
        source = self.engine.source
        choices: dict[str, Any] = {"select_files": source.select_files, "rename_files": source.rename_files}
        # Only what is asked for: people's own may know neither.
        given = {name: choice for name, choice in choices.items() if choice is not None}
        files = tar_file_expander(url_opener(shards, handler=source.handler), handler=source.handler, **given)
        return group_by_keys(files, handler=source.handler)


def _made_of_parts(make: Callable[P, TarSamples]) -> Callable[P, TarFileSamples]:
    @wraps(make, assigned=("__name__", "__qualname__", "__doc__", "__annotations__"))
    def made(*args: P.args, **options: P.kwargs) -> TarFileSamples:
        return TarFileSamples(make(*args, **options))

    return made


tarfile_to_samples = _made_of_parts(tar_stages.tarfile_to_samples)


def tarfile_samples(
    src: Iterable[Any], handler: Handler = reraise_exception, select_files: Selects = None, rename_files: Renames = None
) -> Iterator[Sample]:
    """The samples of the shards of `src`, as `tarfile_to_samples`."""
    return tarfile_to_samples(handler, select_files, rename_files)(src)


def _parts() -> tuple[object, ...]:
    return url_opener, tar_file_expander, group_by_keys


def _replaced() -> bool:
    return _parts() != _OWN_PARTS


def _traced(keys: Keys) -> Keys:
    def traced(fname: str) -> Any:
        found = keys(fname)
        sys.stdout.write(printable(f"{found[0]} {found[1]}") + "\n")
        return found

    return traced


def _pass_over_meta(rename: Renames, select: Selects) -> tuple[Renames, Selects]:
    """As they are, unless meta files are called otherwise than usual. A file is renamed just before it is selected."""
    if (meta_prefix, meta_suffix) == ("__", "__"):
        return rename, select
    latest = [""]

    def renames(name: str) -> str:
        latest[0] = name
        return name if rename is None else rename(name)

    def selects(name: str) -> bool:
        original = latest[0]
        meta = "/" not in original and original.startswith(meta_prefix) and original.endswith(meta_suffix)
        return not meta and (select is None or bool(select(name)))

    return renames, selects


_OWN_PARTS = _parts()
