"""Announcing what will be read to a source that can make use of it, but for what the cache has: `Ahead`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from asyncwds.errors import CacheError
from asyncwds.storage.base import AcceptsHints, Fetcher


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
