"""Which shards the urls of a dataset stand for: a list, a spec, or a folder in which they come and go."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from os import PathLike
from typing import Any, NamedTuple, get_args

from asyncwds.engine.source import Source
from asyncwds.pipeline.shardlists import ResampledShards, SimpleShardList
from asyncwds.pipeline.shardspec import MultiShardSample
from asyncwds.pipeline.stages.shuffle import Shuffle
from asyncwds.settings.access import Access
from asyncwds.shards.directory import DirectoryShardList, Mode
from asyncwds.shards.folders import is_folder
from asyncwds.shards.likeness import may_stand_for_others
from asyncwds.shards.patterns import expand
from asyncwds.shards.plan import Draw, Resampled
from asyncwds.shards.specs import all_urls, sampled, sources_of
from asyncwds.shards.urls import is_spec, local_path
from asyncwds.storage.listing import Listing, look_up_expanded

SPOOL_MODES = get_args(Mode)


def take_as_they_are(urls: Any) -> Listing:
    return Listing(expand(urls), {})


def look_up_some(urls: Any, access: Access) -> Listing:
    """The same, but for what has to be looked for: patterns, folders and manifests."""
    found = expand(urls)
    return look_up_expanded(found, access) if any(may_stand_for_others(found, access.storage)) else Listing(found, {})


class FoundShards(NamedTuple):
    """Those of a dataset: all urls, and how an epoch draws from them if it does not read them all; or a stage gives them."""

    listing: Listing
    draw: Draw | None = None
    by_stage: bool = False
    shared_by_stages: bool = False
    """Ranks and workers share out what that stage gives, by stages behind it."""


def find_shards(urls: Any, resampled: bool, look_up: Callable[[Any], Listing]) -> FoundShards:
    if is_spec(urls):
        sources = sources_of(urls)
        return FoundShards(Listing(all_urls(sources), {}), sampled(sources))
    return FoundShards(look_up(urls), Resampled() if resampled else None)


def find_spool_folder(urls: Any, mode: str | None) -> str | None:
    """The path of a folder of shards that come and go, which are renamed while they are read: asked for by a mode of such folders.

    Where asyncwds stands in for webdataset, a slash at the end asks for it too, as it does there.
    """
    path = local_path(os.fspath(urls)) if isinstance(urls, str | PathLike) else None
    if path is None:
        return None
    asked = mode in SPOOL_MODES and (path.endswith("/") or is_folder(path))
    return path if asked or (path.endswith("/") and stands_in()) else None


def make_spool_list(path: str, mode: str | None) -> DirectoryShardList:
    return DirectoryShardList(path, mode="resample" if mode in (None, "resampled") else mode)  # type: ignore[arg-type]


def make_shard_list(urls: Any, mode: str | None) -> object:
    if (path := find_spool_folder(urls, mode)) is not None:
        return make_spool_list(path, mode)
    if is_spec(urls):
        return MultiShardSample(urls)
    return ResampledShards(urls) if mode == "resampled" else SimpleShardList(urls)


def make_sharing_stages(source: Source) -> list[Any]:
    """The stages by which places share out the shards of a list, each in an order of its own."""
    stages = (source.nodesplitter, source.workersplitter, Shuffle(source.shardshuffle) if source.shardshuffle else None)
    return [stage for stage in stages if stage is not None]


def stands_in() -> bool:
    return getattr(sys.modules.get("webdataset"), "stands_for", None) == "asyncwds"
