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
    from asyncwds.codecs import tensors as tenbin
    from asyncwds.codecs.decoders import Continue, Decoder, handle_extension
    from asyncwds.codecs.encoders import numpy_dumps, torch_dumps
    from asyncwds.codecs.images import imagehandler, turbojpeg
    from asyncwds.engine.source import Samples, open_samples
    from asyncwds.model import Http, Origin, Place, Prefetch, Retry, Sample
    from asyncwds.pipeline.batching import default_collation_fn
    from asyncwds.pipeline.handlers import (
        ignore_and_continue,
        ignore_and_stop,
        reraise_exception,
        warn_and_continue,
        warn_and_stop,
    )
    from asyncwds.plan import single_node_only, split_by_node, split_by_worker
    from asyncwds.settings import S3
    from asyncwds.stats import Stats
    from asyncwds.torch import WebDataset
    from asyncwds.writer.asyncwriter import AsyncShardWriter
    from asyncwds.writer.shardwriter import ShardWriter
    from asyncwds.writer.tarwriter import TarWriter

_HOMES = {
    "asyncwds.codecs.decoders": ("Continue", "Decoder", "handle_extension"),
    "asyncwds.codecs.encoders": ("numpy_dumps", "torch_dumps"),
    "asyncwds.codecs.images": ("imagehandler", "turbojpeg"),
    "asyncwds.engine.source": ("Samples", "open_samples"),
    "asyncwds.model": ("Http", "Origin", "Place", "Prefetch", "Retry", "Sample"),
    "asyncwds.pipeline.batching": ("default_collation_fn",),
    "asyncwds.pipeline.handlers": (
        "ignore_and_continue",
        "ignore_and_stop",
        "reraise_exception",
        "warn_and_continue",
        "warn_and_stop",
    ),
    "asyncwds.plan": ("single_node_only", "split_by_node", "split_by_worker"),
    "asyncwds.settings": ("S3",),
    "asyncwds.stats": ("Stats",),
    "asyncwds.writer.asyncwriter": ("AsyncShardWriter",),
    "asyncwds.writer.shardwriter": ("ShardWriter",),
    "asyncwds.writer.tarwriter": ("TarWriter",),
}
_MODULES = {"errors": "asyncwds.errors", "tenbin": "asyncwds.codecs.tensors", "testing": "asyncwds.testing"}

__all__ = [
    "S3",
    "AsyncShardWriter",
    "Continue",
    "Decoder",
    "Http",
    "Origin",
    "Place",
    "Prefetch",
    "Retry",
    "Sample",
    "Samples",
    "ShardWriter",
    "Stats",
    "TarWriter",
    "WebDataset",
    "default_collation_fn",
    "errors",
    "handle_extension",
    "ignore_and_continue",
    "ignore_and_stop",
    "imagehandler",
    "numpy_dumps",
    "open_samples",
    "reraise_exception",
    "single_node_only",
    "split_by_node",
    "split_by_worker",
    "tenbin",
    "testing",
    "torch_dumps",
    "turbojpeg",
    "warn_and_continue",
    "warn_and_stop",
]


def _home(name: str) -> str | None:
    if name == "WebDataset":
        return "asyncwds.torch" if find_spec("torch") else "asyncwds.pipeline.dataset"
    return next((module for module, names in _HOMES.items() if name in names), None)


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(_MODULES[name])
    home = _home(name)
    if home is None:
        raise AttributeError(f"module 'asyncwds' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
