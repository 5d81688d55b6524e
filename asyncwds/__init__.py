"""asyncwds: WebDataset shards from disks, web servers and buckets, with many requests in flight.

    import asyncwds as wds

    ds = wds.WebDataset("https://host/train-{000..099}.tar").shuffle(1000).decode("torchrgb").to_tuple("jpg;png", "json")

The same object serves `for`, `async for` and torch's DataLoader. `open_samples` is the engine on your own event loop.

It opens no socket, starts no thread and imports no heavy library before it is used: the names below are resolved on
first use. `WebDataset` is a torch IterableDataset where torch is installed, and needs no torch elsewhere.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from asyncwds import errors, testing
    from asyncwds.codecs.decoders import Continue, Decoder, handle_extension
    from asyncwds.codecs.images import imagehandler, turbojpeg
    from asyncwds.engine.source import Samples, open_samples
    from asyncwds.model import Http, Origin, Place, Prefetch, Retry, Sample
    from asyncwds.pipeline.batching import batched, listed, unbatched, unlisted
    from asyncwds.pipeline.cached import Cached
    from asyncwds.pipeline.collation import collate, default_collation_fn
    from asyncwds.pipeline.epochs import repeatedly
    from asyncwds.pipeline.fields import associate, map_dict
    from asyncwds.pipeline.handlers import (
        ignore_and_continue,
        ignore_and_stop,
        reraise_exception,
        warn_and_continue,
        warn_and_stop,
    )
    from asyncwds.pipeline.inspecting import info, log_keys
    from asyncwds.pipeline.lmdb_cached import LMDBCached
    from asyncwds.pipeline.names import getfirst
    from asyncwds.pipeline.patterns import extract_keys, rename_keys
    from asyncwds.pipeline.sampling import rsample
    from asyncwds.pipeline.shuffle import detshuffle, shuffle
    from asyncwds.pipeline.stage import PipelineStage, pipelinefilter
    from asyncwds.pipeline.stages import map, map_tuple, rename, select, slice, to_tuple, transform_with  # noqa: A004
    from asyncwds.plan import single_node_only, split_by_node, split_by_worker
    from asyncwds.stats import Stats
    from asyncwds.torch import MockDataset, RandomMix, RoundRobin, WebDataset, with_epoch, with_length

_HOMES = {
    "asyncwds.codecs.decoders": ("Continue", "Decoder", "handle_extension"),
    "asyncwds.codecs.images": ("imagehandler", "turbojpeg"),
    "asyncwds.engine.source": ("Samples", "open_samples"),
    "asyncwds.model": ("Http", "Origin", "Place", "Prefetch", "Retry", "Sample"),
    "asyncwds.pipeline.batching": ("batched", "listed", "unbatched", "unlisted"),
    "asyncwds.pipeline.cached": ("Cached",),
    "asyncwds.pipeline.collation": ("collate", "default_collation_fn"),
    "asyncwds.pipeline.epochs": ("repeatedly",),
    "asyncwds.pipeline.fields": ("associate", "map_dict"),
    "asyncwds.pipeline.handlers": (
        "ignore_and_continue",
        "ignore_and_stop",
        "reraise_exception",
        "warn_and_continue",
        "warn_and_stop",
    ),
    "asyncwds.pipeline.inspecting": ("info", "log_keys"),
    "asyncwds.pipeline.lmdb_cached": ("LMDBCached",),
    "asyncwds.pipeline.names": ("getfirst",),
    "asyncwds.pipeline.patterns": ("extract_keys", "rename_keys"),
    "asyncwds.pipeline.sampling": ("rsample",),
    "asyncwds.pipeline.shuffle": ("detshuffle", "shuffle"),
    "asyncwds.pipeline.stage": ("PipelineStage", "pipelinefilter"),
    "asyncwds.pipeline.stages": ("map", "map_tuple", "rename", "select", "slice", "to_tuple", "transform_with"),
    "asyncwds.plan": ("single_node_only", "split_by_node", "split_by_worker"),
    "asyncwds.stats": ("Stats",),
}
# Where torch is installed they are its IterableDatasets, from asyncwds.torch.
_DATASETS = {
    "asyncwds.pipeline.dataset": ("WebDataset",),
    "asyncwds.pipeline.epochs": ("MockDataset", "with_epoch", "with_length"),
    "asyncwds.pipeline.mixing": ("RandomMix", "RoundRobin"),
}
_MODULES = ("errors", "testing")

__all__ = [
    "Cached",
    "Continue",
    "Decoder",
    "Http",
    "LMDBCached",
    "MockDataset",
    "Origin",
    "PipelineStage",
    "Place",
    "Prefetch",
    "RandomMix",
    "Retry",
    "RoundRobin",
    "Sample",
    "Samples",
    "Stats",
    "WebDataset",
    "associate",
    "batched",
    "collate",
    "default_collation_fn",
    "detshuffle",
    "errors",
    "extract_keys",
    "getfirst",
    "handle_extension",
    "ignore_and_continue",
    "ignore_and_stop",
    "imagehandler",
    "info",
    "listed",
    "log_keys",
    "map",
    "map_dict",
    "map_tuple",
    "open_samples",
    "pipelinefilter",
    "rename",
    "rename_keys",
    "repeatedly",
    "reraise_exception",
    "rsample",
    "select",
    "shuffle",
    "single_node_only",
    "slice",
    "split_by_node",
    "split_by_worker",
    "testing",
    "to_tuple",
    "transform_with",
    "turbojpeg",
    "unbatched",
    "unlisted",
    "warn_and_continue",
    "warn_and_stop",
    "with_epoch",
    "with_length",
]


def _home(name: str) -> str | None:
    for module, names in _DATASETS.items():
        if name in names:
            return "asyncwds.torch" if find_spec("torch") else module
    return next((module for module, names in _HOMES.items() if name in names), None)


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"asyncwds.{name}")
    home = _home(name)
    if home is None:
        raise AttributeError(f"module 'asyncwds' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
