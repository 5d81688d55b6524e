"""Writes what is received into a download, while more comes."""

from __future__ import annotations

import asyncio

from asyncwds.runtime.units import MiB
from asyncwds.storage.base import Chunk
from asyncwds.storage.cache.partial_file import Partial

WRITE = MiB
"""How much is written at a time [bytes]: to hand a write over to a thread and to note it costs 100 µs."""

_LONGEST = 1.0  # [s] until others see what came slowly
_MOST_CHUNKS = 500  # of one write; the system allows 1024


class PartialWriter:
    """Takes the chunks of [start, …) in order. What is a memoryview has to stay as it is until `finish`.

    At most one write is under way, and less than two wait in memory: a slow disk slows the download down.
    """

    def __init__(self, partial: Partial, start: int) -> None:
        self._partial = partial
        self._start = start  # of the chunks that wait
        self._chunks: list[Chunk] = []
        self._size = 0
        self._writing: asyncio.Task[None] | None = None
        self._since = asyncio.get_running_loop().time()

    async def add(self, chunk: Chunk) -> None:
        """Raises CacheError if what came before could not be written."""
        self._chunks.append(chunk)
        self._size += len(chunk)
        now = asyncio.get_running_loop().time()
        if self._size >= WRITE or len(self._chunks) >= _MOST_CHUNKS or now > self._since + _LONGEST:
            await self._settle()
            chunks, self._chunks = self._chunks, []
            self._writing = asyncio.create_task(self._partial.write(self._start, chunks))
            self._start, self._size, self._since = self._start + self._size, 0, now

    async def finish(self) -> None:
        """Writes the rest. Raises CacheError as `add` does."""
        try:
            await self._settle()
            if self._chunks:
                await self._partial.write(self._start, self._chunks)
        finally:
            self._chunks = []

    async def _settle(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            await writing
