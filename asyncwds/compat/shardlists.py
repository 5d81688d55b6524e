"""`webdataset.shardlists`."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from asyncwds.errors import SpecError
from asyncwds.pipeline.shardlists import (
    ResampledShardList,
    ResampledShards,
    SimpleShardList,
    expand_source,
    expand_urls,
    non_empty,
    resampled,
)
from asyncwds.pipeline.shardspec import MultiShardSample, shardspec
from asyncwds.shards.directory import DirectoryShardList, is_running
from asyncwds.shards.plan import single_node_only, split_by_node, split_by_worker
from asyncwds.shards.specs import MSSource
from asyncwds.shards.urls import expand_environment as envsubst

__all__ = [
    "DirectoryShardList",
    "MSSource",
    "MultiShardSample",
    "ResampledShardList",
    "ResampledShards",
    "SimpleShardList",
    "check_pid_is_running",
    "envlookup",
    "envsubst",
    "expand",
    "expand_source",
    "expand_urls",
    "get_pid_from_filename",
    "non_empty",
    "resampled",
    "resampled_",
    "shardspec",
    "single_node_only",
    "split_by_node",
    "split_by_worker",
    "without_last_extension",
]


def envlookup(m: re.Match[str]) -> str:
    """What the environment has under WDS_ and the name that the match has as its first group. SpecError if it has nothing."""
    name = f"WDS_{m[1]}"
    if name not in os.environ:
        raise SpecError(f"the environment variable {name} is not set")
    return os.environ[name]


def expand(s: str) -> str:
    """`~` and `$VARIABLE` replaced."""
    return os.path.expanduser(os.path.expandvars(s))  # noqa: PTH111 - also of urls, which a Path would spoil


def resampled_(src: Iterable[Any], n: int = sys.maxsize) -> Iterator[Any]:
    """`resampled`, data first."""
    return resampled(n)(src)


def check_pid_is_running(pid: int) -> bool:
    return is_running(pid)


def get_pid_from_filename(fname: str) -> int | None:
    """The process that has claimed a shard, by the name that `DirectoryShardList` gave it; None if none has."""
    claim = re.fullmatch(r".*\._(?:.+-)?(\d+)_", fname)
    return int(claim[1]) if claim else None


def without_last_extension(fname: str) -> str:
    return re.sub(r"\.[^.]*$", "", fname)
