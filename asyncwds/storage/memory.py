"""Objects in memory: a fetcher for tests, and for data that is there already."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager

from asyncwds.errors import ChangedError, NotFoundError
from asyncwds.runtime.counters import Counters
from asyncwds.runtime.units import KiB
from asyncwds.storage.base import Answer, Chunk, ChunkBody, ObjectRange

Steer = Callable[[str, int | None], Awaitable[None]]


class MemoryFetcher:
    """Serves `objects` by url; what is replaced in the mapping is another object from then on.

    chunk_bytes  size of the chunks [bytes]; one turn of the loop passes between two
    ranged       False: every body is the whole object, as from a pipe
    sized        False: answers don't tell the size
    steer        `await steer(url, offset)` comes before an answer (offset None) and before each chunk (offset of its
                 first byte); it may wait, and what it raises is raised to the reader
    """

    def __init__(
        self,
        objects: Mapping[str, bytes],
        *,
        counters: Counters | None = None,
        chunk_bytes: int = 64 * KiB,
        ranged: bool = True,
        sized: bool = True,
        steer: Steer | None = None,
    ) -> None:
        self._objects = objects
        self._counters = counters or Counters()
        self._chunk_bytes = chunk_bytes
        self._ranged = ranged
        self._sized = sized
        self._steer = steer
        self.open_now = 0
        """Bodies that are open, or being opened."""
        self.closed = False

    @asynccontextmanager
    async def open(self, wanted: ObjectRange, *, buffer: memoryview | None = None) -> AsyncGenerator[ChunkBody, None]:
        self._counters.requests += 1
        self.open_now += 1
        try:
            await self._turn(wanted.url, None)
            data, answer = self._answer(wanted)
            stop, buffer = (wanted.stop, buffer) if self._ranged else (None, None)
            async with aclosing(self._chunks(wanted.url, data, answer.start, stop, buffer)) as chunks:
                yield ChunkBody(answer, chunks)
        finally:
            self.open_now -= 1

    async def aclose(self) -> None:
        self.closed = True

    def _answer(self, wanted: ObjectRange) -> tuple[bytes, Answer]:
        if wanted.url not in self._objects:
            raise NotFoundError("no such object", url=wanted.url)
        data = self._objects[wanted.url]
        current = f"{hash(data):x}"
        if wanted.identity not in (None, current):
            raise ChangedError("the object was replaced", url=wanted.url, offset=wanted.start)
        return data, Answer(wanted.start if self._ranged else 0, len(data) if self._sized else None, current, self._ranged)

    async def _chunks(
        self, url: str, data: bytes, start: int, stop: int | None, buffer: memoryview | None
    ) -> AsyncGenerator[Chunk, None]:
        end = len(data) if stop is None else min(stop, len(data))
        for offset in range(start, end, self._chunk_bytes):
            await self._turn(url, offset)
            chunk = data[offset : min(offset + self._chunk_bytes, end)]
            self._counters.bytes += len(chunk)
            self._counters.local += len(chunk)
            yield chunk if buffer is None else _placed(chunk, buffer[offset - start :])

    async def _turn(self, url: str, offset: int | None) -> None:
        if self._steer is None:
            await asyncio.sleep(0)
        else:
            await self._steer(url, offset)


def _placed(chunk: bytes, buffer: memoryview) -> memoryview:
    place = buffer[: len(chunk)]
    place[:] = chunk
    return place
