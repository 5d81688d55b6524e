"""One object into a cache, for code that wants the path of a file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path

from asyncwds.bridges.block_bridge import Bridge
from asyncwds.engine.blocks import ReadOptions
from asyncwds.engine.openers import open_by_scheme
from asyncwds.engine.stream import BlockStream, window_bytes
from asyncwds.errors import CacheError, ChecksumError, TarHeaderError
from asyncwds.runtime.counters import Counters
from asyncwds.settings.access import Access
from asyncwds.settings.reading import Cache, Prefetch
from asyncwds.shards.shard import Shard
from asyncwds.storage.cache import CachingFetcher
from asyncwds.storage.cache.checks import is_shard_file
from asyncwds.storage.cache.folder import CacheFolder
from asyncwds.storage.cache.names import name_in_cache, url_hash


def keep(
    url: str,
    cache: Cache,
    *,
    validator: Callable[[str], bool] = is_shard_file,
) -> str:
    """Fetches an object unless the cache has it, and returns the path of its file. What others fetch is waited for.

    Raises the source's errors, TarHeaderError for what the `validator` refuses (called with the path of what has come), what
    that raises, ChecksumError where what has come twice has another checksum than the store's, and CacheError where the object
    cannot be kept.
    """
    folder, name = CacheFolder(cache), name_in_cache(url, cache.url_to_name)
    refused: list[Exception] = []

    def is_good(path: str) -> bool:
        problem: Exception | None
        try:
            problem = None if validator(path) else _refusal(path, url)
        except Exception as error:  # noqa: BLE001 - the user's; raised below, in the user's thread
            problem = error
        refused.extend(filter(None, [problem]))
        return problem is None

    whole = None if cache.revalidate else folder.find(name, use=True)
    if whole is None or whole.record.url_hash != url_hash(url):
        fetch = partial(_fetch, url, cache, is_good)
        try:
            fetch()
        except ChecksumError:  # it was not kept; bytes that changed on the way are others the next time
            fetch()
        whole = folder.find(name)
    if refused:
        raise refused[0]
    if whole is None:
        raise CacheError(f"it could not be kept in {folder.root}", url=url)
    return whole.path


def _refusal(path: str, url: str) -> TarHeaderError:
    with Path(path).open("rb") as file:
        return TarHeaderError(f"this is not a tar archive; it begins with {file.read(200)!r}", url=url)


def _fetch(url: str, cache: Cache, validator: Callable[[str], bool]) -> None:
    access, counters, prefetch = Access(), Counters(), Prefetch()

    @asynccontextmanager
    async def reading() -> AsyncIterator[BlockStream]:
        fetcher = CachingFetcher(
            open_by_scheme(access, counters), cache, counters, patience=access.retry.stall_timeout, validator=validator
        )
        options = ReadOptions(prefetch.max_member_bytes, raw=True)
        stream = BlockStream(iter([Shard(url, 0)]), fetcher, prefetch, options, counters)
        try:
            yield stream
        finally:
            await stream.aclose()

    window = window_bytes(prefetch)
    with closing(Bridge(reading, window=window, counters=counters, loop_factory=asyncio.new_event_loop)) as bridge:
        for block in bridge:
            if block.error is not None:
                raise block.error
