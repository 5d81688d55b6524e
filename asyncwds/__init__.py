"""asyncwds: WebDataset shards from disks, web servers and buckets, with many requests in flight.

    import asyncwds as wds

    ds = wds.WebDataset("https://host/train-{000..099}.tar").shuffle(1000).decode("torchrgb").to_tuple("jpg;png", "json")

The same object serves `for`, `async for` and torch's DataLoader. `open_samples` is the engine on your own event loop.

It opens no socket, starts no thread and imports no heavy library before it is used: the names below are resolved on
first use. `WebDataset` is a torch IterableDataset where torch is installed, and needs no torch elsewhere.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from asyncwds import compat, errors, testing
    from asyncwds.codecs.audio import audio, torch_audio
    from asyncwds.codecs.decoders import Continue, Decoded, Decoder, DecodingError, gzfilter, handle_extension, torch_safetensors
    from asyncwds.codecs.encoders import numpy_dumps, torch_dumps
    from asyncwds.codecs.images import imagehandler, turbojpeg
    from asyncwds.codecs.loads import torch_loads
    from asyncwds.codecs.video import Video, torch_video, video
    from asyncwds.compat import (
        autodecode,
        cache,
        extradatasets,
        filters,
        handlers,
        mix,
        pytorch,
        shardlists,
        tariterators,
        tenbin,
        utils,
    )
    from asyncwds.compat.cache import LRUCleanup
    from asyncwds.compat.tariterators import tarfile_samples, tarfile_to_samples
    from asyncwds.engine.gopen import gopen
    from asyncwds.engine.schemes import gopen_schemes
    from asyncwds.engine.source import Samples, open_samples
    from asyncwds.model import Cache, Http, Origin, Place, Prefetch, Retry, Sample
    from asyncwds.pipeline.batching import batched, default_collation_fn, listed, unbatched, unlisted
    from asyncwds.pipeline.cached import Cached
    from asyncwds.pipeline.collation import collate
    from asyncwds.pipeline.directory import DirectoryShardList
    from asyncwds.pipeline.epochs import repeatedly
    from asyncwds.pipeline.fields import associate, map_dict
    from asyncwds.pipeline.fluid import FluidInterface
    from asyncwds.pipeline.grouping import group_by_keys
    from asyncwds.pipeline.handlers import ignore_and_continue, ignore_and_stop, reraise_exception, warn_and_continue, warn_and_stop
    from asyncwds.pipeline.inspecting import info, log_keys
    from asyncwds.pipeline.length import add_length_method
    from asyncwds.pipeline.lmdb_cached import LMDBCached
    from asyncwds.pipeline.multi import MultiLoader
    from asyncwds.pipeline.names import getfirst
    from asyncwds.pipeline.patterns import extract_keys, rename_keys
    from asyncwds.pipeline.sampling import rsample
    from asyncwds.pipeline.shardlists import (
        ResampledShardList,
        ResampledShards,
        SimpleShardList,
        check_empty,
        expand_source,
        expand_urls,
        non_empty,
        resampled,
    )
    from asyncwds.pipeline.shardspec import MultiShardSample, shardspec
    from asyncwds.pipeline.shuffle import detshuffle, shuffle
    from asyncwds.pipeline.splitters import single_node_only, split_by_node, split_by_worker
    from asyncwds.pipeline.stage import PipelineStage, pipelinefilter
    from asyncwds.pipeline.stages import decode, map, map_tuple, rename, select, slice, to_tuple, transform_with  # noqa: A004
    from asyncwds.pipeline.tarstages import tar_file_expander, url_opener
    from asyncwds.pipeline.xdecode import xdecode
    from asyncwds.security import enforce_security
    from asyncwds.settings import GCS, S3, AIStore, Azure, FileSystem, HuggingFace
    from asyncwds.stats import Stats
    from asyncwds.storage.cache.names import pipe_cleaner
    from asyncwds.storage.command import Pipe
    from asyncwds.torch import (
        DataPipeline,
        FluidWrapper,
        MockDataset,
        RandomMix,
        RoundRobin,
        WebDataset,
        WebLoader,
        with_epoch,
        with_length,
    )
    from asyncwds.writer.asyncwriter import AsyncShardWriter
    from asyncwds.writer.shardwriter import ShardWriter
    from asyncwds.writer.tarwriter import TarWriter

_HOMES = {
    "asyncwds.codecs.audio": (
        "audio",
        "torch_audio",
    ),
    "asyncwds.codecs.decoders": (
        "Continue",
        "Decoded",
        "Decoder",
        "DecodingError",
        "gzfilter",
        "handle_extension",
        "torch_safetensors",
    ),
    "asyncwds.codecs.encoders": (
        "numpy_dumps",
        "torch_dumps",
    ),
    "asyncwds.codecs.images": (
        "imagehandler",
        "turbojpeg",
    ),
    "asyncwds.codecs.loads": ("torch_loads",),
    "asyncwds.codecs.video": (
        "Video",
        "torch_video",
        "video",
    ),
    "asyncwds.compat.cache": ("LRUCleanup",),
    "asyncwds.compat.tariterators": (
        "tarfile_samples",
        "tarfile_to_samples",
    ),
    "asyncwds.engine.gopen": ("gopen",),
    "asyncwds.engine.schemes": ("gopen_schemes",),
    "asyncwds.engine.source": (
        "Samples",
        "open_samples",
    ),
    "asyncwds.model": (
        "Cache",
        "Http",
        "Origin",
        "Place",
        "Prefetch",
        "Retry",
        "Sample",
    ),
    "asyncwds.pipeline.batching": (
        "batched",
        "default_collation_fn",
        "listed",
        "unbatched",
        "unlisted",
    ),
    "asyncwds.pipeline.cached": ("Cached",),
    "asyncwds.pipeline.collation": ("collate",),
    "asyncwds.pipeline.directory": ("DirectoryShardList",),
    "asyncwds.pipeline.epochs": ("repeatedly",),
    "asyncwds.pipeline.fields": (
        "associate",
        "map_dict",
    ),
    "asyncwds.pipeline.fluid": ("FluidInterface",),
    "asyncwds.pipeline.grouping": ("group_by_keys",),
    "asyncwds.pipeline.handlers": (
        "ignore_and_continue",
        "ignore_and_stop",
        "reraise_exception",
        "warn_and_continue",
        "warn_and_stop",
    ),
    "asyncwds.pipeline.inspecting": (
        "info",
        "log_keys",
    ),
    "asyncwds.pipeline.length": ("add_length_method",),
    "asyncwds.pipeline.lmdb_cached": ("LMDBCached",),
    "asyncwds.pipeline.multi": ("MultiLoader",),
    "asyncwds.pipeline.names": ("getfirst",),
    "asyncwds.pipeline.patterns": (
        "extract_keys",
        "rename_keys",
    ),
    "asyncwds.pipeline.sampling": ("rsample",),
    "asyncwds.pipeline.shardlists": (
        "ResampledShardList",
        "ResampledShards",
        "SimpleShardList",
        "check_empty",
        "expand_source",
        "expand_urls",
        "non_empty",
        "resampled",
    ),
    "asyncwds.pipeline.shardspec": (
        "MultiShardSample",
        "shardspec",
    ),
    "asyncwds.pipeline.shuffle": (
        "detshuffle",
        "shuffle",
    ),
    "asyncwds.pipeline.splitters": (
        "single_node_only",
        "split_by_node",
        "split_by_worker",
    ),
    "asyncwds.pipeline.stage": (
        "PipelineStage",
        "pipelinefilter",
    ),
    "asyncwds.pipeline.stages": (
        "decode",
        "map",
        "map_tuple",
        "rename",
        "select",
        "slice",
        "to_tuple",
        "transform_with",
    ),
    "asyncwds.pipeline.tarstages": (
        "tar_file_expander",
        "url_opener",
    ),
    "asyncwds.pipeline.xdecode": ("xdecode",),
    "asyncwds.security": ("enforce_security",),
    "asyncwds.settings": ("AIStore", "Azure", "FileSystem", "GCS", "HuggingFace", "S3"),
    "asyncwds.stats": ("Stats",),
    "asyncwds.storage.cache.names": ("pipe_cleaner",),
    "asyncwds.storage.command": ("Pipe",),
    "asyncwds.writer.asyncwriter": ("AsyncShardWriter",),
    "asyncwds.writer.shardwriter": ("ShardWriter",),
    "asyncwds.writer.tarwriter": ("TarWriter",),
}
# Where torch is installed they are its IterableDatasets, from asyncwds.torch.
_DATASETS = {
    "asyncwds.pipeline.datapipeline": ("DataPipeline",),
    "asyncwds.pipeline.dataset": ("WebDataset",),
    "asyncwds.pipeline.epochs": (
        "MockDataset",
        "with_epoch",
        "with_length",
    ),
    "asyncwds.pipeline.loaders": (
        "FluidWrapper",
        "WebLoader",
    ),
    "asyncwds.pipeline.mixing": (
        "RandomMix",
        "RoundRobin",
    ),
}
_MODULES = {
    "autodecode": "asyncwds.compat.autodecode",
    "cache": "asyncwds.compat.cache",
    "compat": "asyncwds.compat",
    "errors": "asyncwds.errors",
    "extradatasets": "asyncwds.compat.extradatasets",
    "filters": "asyncwds.compat.filters",
    "handlers": "asyncwds.compat.handlers",
    "mix": "asyncwds.compat.mix",
    "pytorch": "asyncwds.compat.pytorch",
    "shardlists": "asyncwds.compat.shardlists",
    "tariterators": "asyncwds.compat.tariterators",
    "tenbin": "asyncwds.compat.tenbin",
    "testing": "asyncwds.testing",
    "utils": "asyncwds.compat.utils",
}

__all__ = [
    "GCS",
    "S3",
    "AIStore",
    "AsyncShardWriter",
    "Azure",
    "Cache",
    "Cached",
    "Continue",
    "DataPipeline",
    "Decoded",
    "Decoder",
    "DecodingError",
    "DirectoryShardList",
    "FileSystem",
    "FluidInterface",
    "FluidWrapper",
    "Http",
    "HuggingFace",
    "LMDBCached",
    "LRUCleanup",
    "MockDataset",
    "MultiLoader",
    "MultiShardSample",
    "Origin",
    "Pipe",
    "PipelineStage",
    "Place",
    "Prefetch",
    "RandomMix",
    "ResampledShardList",
    "ResampledShards",
    "Retry",
    "RoundRobin",
    "Sample",
    "Samples",
    "ShardWriter",
    "SimpleShardList",
    "Stats",
    "TarWriter",
    "Video",
    "WebDataset",
    "WebLoader",
    "add_length_method",
    "associate",
    "audio",
    "autodecode",
    "batched",
    "cache",
    "check_empty",
    "collate",
    "compat",
    "decode",
    "default_collation_fn",
    "detshuffle",
    "enforce_security",
    "errors",
    "expand_source",
    "expand_urls",
    "extract_keys",
    "extradatasets",
    "filters",
    "getfirst",
    "gopen",
    "gopen_schemes",
    "group_by_keys",
    "gzfilter",
    "handle_extension",
    "handlers",
    "ignore_and_continue",
    "ignore_and_stop",
    "imagehandler",
    "info",
    "listed",
    "log_keys",
    "map",
    "map_dict",
    "map_tuple",
    "mix",
    "non_empty",
    "numpy_dumps",
    "open_samples",
    "pipe_cleaner",
    "pipelinefilter",
    "pytorch",
    "rename",
    "rename_keys",
    "repeatedly",
    "reraise_exception",
    "resampled",
    "rsample",
    "select",
    "shardlists",
    "shardspec",
    "shuffle",
    "single_node_only",
    "slice",
    "split_by_node",
    "split_by_worker",
    "tar_file_expander",
    "tarfile_samples",
    "tarfile_to_samples",
    "tariterators",
    "tenbin",
    "testing",
    "to_tuple",
    "torch_audio",
    "torch_dumps",
    "torch_loads",
    "torch_safetensors",
    "torch_video",
    "transform_with",
    "turbojpeg",
    "unbatched",
    "unlisted",
    "url_opener",
    "utils",
    "video",
    "warn_and_continue",
    "warn_and_stop",
    "with_epoch",
    "with_length",
    "xdecode",
]


class _Package(ModuleType):
    """This module, so that its flag acts when it is set."""

    @property
    def pytorch_weights_only(self) -> bool:
        """As `autodecode.pytorch_weights_only`: whether `.pth` fields may hold tensors and plain data only."""
        return bool(import_module("asyncwds.security").weights_only())

    @pytorch_weights_only.setter
    def pytorch_weights_only(self, on: bool) -> None:
        import_module("asyncwds.security").allow_only_weights(bool(on))


sys.modules[__name__].__class__ = _Package
pytorch_weights_only: bool


def _home(name: str) -> str | None:
    for module, names in _DATASETS.items():
        if name in names:
            return "asyncwds.torch" if find_spec("torch") else module
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
