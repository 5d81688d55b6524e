"""The index of shards for which none is given: where it is kept, in the folder of a cache or beside a local shard, or by their
headers; and the keeping of that of each shard that was read to its end.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from asyncwds.engine.blocks import ShardListing
from asyncwds.errors import FetchError, SpecError
from asyncwds.index.columns import columns_of
from asyncwds.index.encoding import decode, encode
from asyncwds.index.exporting import index_url
from asyncwds.index.files import read_index, write_files
from asyncwds.index.index import Index, ShardIndex
from asyncwds.index.making import AT_ONCE, index_shards
from asyncwds.index.recording import rows_read
from asyncwds.runtime.blocking import run_on_own_loop
from asyncwds.runtime.counters import Counters
from asyncwds.runtime.event_loop import run_some_at_a_time
from asyncwds.settings.access import Access
from asyncwds.settings.reading import Cache
from asyncwds.shards.urls import local_path
from asyncwds.storage.base import Fetcher
from asyncwds.storage.registry import open_storage

IN_CACHE = ".asyncwds-indexes/"


def find_index(urls: Sequence[str], access: Access, cache: Cache | None) -> Index:
    """Of each shard: what a cache has, else what is beside it, else what its headers say, which a cache then keeps.

    Blocks. Raises SpecError for a file that is damaged, and what reading the shards would.
    """
    folder = None if cache is None else cache_folder(cache)
    found = find_kept(urls, access, cache)
    missing = [url for url, shard in zip(urls, found, strict=True) if shard is None]
    if missing:
        made = {shard.url: shard for shard in index_shards(missing, access, Counters(), _nothing).shards}
        found = [shard or made[url] for url, shard in zip(urls, found, strict=True)]
        if folder is not None:
            places = {url: index_url(url, folder=folder) for url in missing}
            files = {place: encode(Index((made[url],)), place) for url, place in places.items()}
            run_on_own_loop(partial(write_files, files, access))
    return Index(tuple([shard for shard in found if shard is not None]))


def find_kept(urls: Sequence[str], access: Access, cache: Cache | None) -> list[ShardIndex | None]:
    """Of each shard: what a cache has, else what is beside it, else None. Blocks. Raises SpecError for a file that is damaged."""
    return run_on_own_loop(partial(_find, urls, access, None if cache is None else cache_folder(cache)))


def cache_folder(cache: Cache) -> str:
    """Where a cache has indexes."""
    return os.path.join(os.path.abspath(os.path.expanduser(cache.dir)), IN_CACHE)  # noqa: PTH100, PTH111, PTH118 - with its slash


def _nothing(_: ShardIndex) -> None:
    """For what is told of each shard."""


async def _find(urls: Sequence[str], access: Access, folder: str | None) -> list[ShardIndex | None]:
    fetcher = open_storage(access, Counters())
    try:
        return await run_some_at_a_time([read_kept(fetcher, url, folder) for url in urls], AT_ONCE)
    finally:
        await fetcher.aclose()


async def read_kept(fetcher: Fetcher, url: str, folder: str | None) -> ShardIndex | None:
    """What the folder of a cache has of a shard, else what is beside it. Raises SpecError for a file that is damaged."""
    for place in [index_url(url, folder=folder)] * (folder is not None) + [index_url(url)]:
        try:
            found = await read_index(fetcher, place)
        except FetchError:  # there is none; or its server says so otherwise
            continue
        return found.for_urls([url]).shards[0]
    return None


@dataclass(frozen=True)
class IndexKeeper:
    """Called with what was seen of a shard. `folder` (with a slash) is where indexes go; None is beside local shards."""

    folder: str | None

    def __call__(self, listing: ShardListing) -> None:
        """Writes the index, unless it is there. Nothing, where it cannot be told where payloads are, or nothing can be written."""
        is_local = local_path(listing.url) is not None
        place = index_url(listing.url, folder=self.folder)
        path = local_path(place)
        rows = rows_read(listing.samples, listing.payloads)
        if path is None or rows is None:
            return
        identity = None if is_local else listing.identity
        if _is_kept(path, place, listing.size, identity):
            return
        shard = ShardIndex.of(listing.url, columns_of(rows), listing.size, identity)
        with suppress(OSError):
            _write(Path(path), encode(Index((shard,)), place))


def _is_kept(path: str, place: str, size: int | None, identity: str | None) -> bool:
    try:
        kept = decode(Path(path).read_bytes(), place).shards
    except (OSError, SpecError):
        return False
    return [(shard.size, shard.identity) for shard in kept] == [(size, identity)]


def _write(path: Path, data: bytes) -> None:
    """All of it or nothing, whoever else writes the same."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_bytes(data)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
