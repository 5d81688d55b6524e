"""What a cache has to do with its source beside fetching: it asks whether an object is still the same, and announces what will be
read, but for what it has.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from asyncwds.errors import CacheError, ChangedError
from asyncwds.storage.base import AcceptsHints, Fetcher, ObjectRange
from asyncwds.storage.cache.journal import Header
from asyncwds.storage.cache.names import url_hash

K = TypeVar("K")
V = TypeVar("V")

_REMEMBERED = 256  # shards that are read at the same time, at most


def remember(memory: dict[K, V], key: K, value: V) -> None:
    memory[key] = value
    while len(memory) > _REMEMBERED:
        del memory[next(iter(memory))]


class Confirmations:
    """Of which URLs and identities the source has said that they belong together: it is asked once."""

    def __init__(self, source: Fetcher) -> None:
        self._source = source
        self._confirmed: dict[tuple[str, str | None], bool] = {}

    def add(self, url: str, identity: str | None) -> None:
        remember(self._confirmed, (url, identity), True)

    async def is_of(self, url: str, header: Header) -> bool:
        """Whether a download is of what `url` stands for."""
        return await self.is_same(url, header.url_hash, header.total, header.identity)

    async def is_same(self, url: str, stored_for: str, total: int | None, identity: str | None) -> bool:
        """Whether an object of that size and identity, stored for the URL with the hash `stored_for`, is what `url` stands for."""
        if stored_for != url_hash(url) and identity is None:
            return False
        if (url, identity) not in self._confirmed:
            if not await self._agrees(url, total, identity):
                return False
            self.add(url, identity)
        return True

    async def _agrees(self, url: str, total: int | None, identity: str | None) -> bool:
        """Whether the source still has the object of that size and identity."""
        try:
            async with self._source.open(ObjectRange(url, 0, 1, identity)) as body:
                return total is not None and body.answer.total == total
        except ChangedError:
            return False


class Ahead:
    """`has` tells whether the cache has all of a url's object; where it cannot tell, the object is announced."""

    def __init__(self, source: Fetcher, has: Callable[[str], Awaitable[bool]]) -> None:
        self._source = source
        self._has = has
        self._jobs: set[asyncio.Task[None]] = set()

    def foresees(self, url: str) -> bool:
        return isinstance(self._source, AcceptsHints) and self._source.foresees(url)

    def upcoming(self, urls: Sequence[str]) -> None:
        job = asyncio.create_task(self._announce([url for url in urls if self.foresees(url)]))
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)

    async def aclose(self) -> None:
        for job in self._jobs:
            job.cancel()
        if self._jobs:
            await asyncio.wait(self._jobs)

    async def _announce(self, urls: Sequence[str]) -> None:
        missing = [url for url in urls if not await self._is_there(url)]
        if missing and isinstance(self._source, AcceptsHints):
            self._source.upcoming(missing)

    async def _is_there(self, url: str) -> bool:
        try:
            return await self._has(url)
        except CacheError:
            return False
