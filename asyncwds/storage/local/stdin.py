"""`-`: standard input."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager

from asyncwds.errors import FetchError
from asyncwds.runtime.counters import Counters
from asyncwds.storage.base import Answer, ChunkBody, ObjectRange
from asyncwds.storage.local.readiness import read_when_ready, translate_os_error


class StdinFetcher:
    """Reads standard input from where it stands; it has no ranges, no size and no identity, and comes once.

    No thread waits for it. A file at standard input is read on the loop, 256 KiB at a time.
    """

    def __init__(self, counters: Counters) -> None:
        self._counters = counters

    @asynccontextmanager
    async def open(self, wanted: ObjectRange, *, buffer: memoryview | None = None) -> AsyncGenerator[ChunkBody, None]:
        del buffer
        self._counters.requests += 1
        descriptor = _duplicate(wanted.url)
        try:
            async with aclosing(self._chunks(wanted.url, descriptor)) as chunks:
                yield ChunkBody(Answer(0, None, None, ranged=False), chunks)
        finally:
            os.close(descriptor)

    async def aclose(self) -> None:
        """Nothing is kept between bodies; standard input stays open."""

    async def _chunks(self, url: str, descriptor: int) -> AsyncGenerator[bytes, None]:
        position = 0
        try:
            while chunk := await read_when_ready(descriptor):
                position += len(chunk)
                self._counters.bytes += len(chunk)
                self._counters.piped += len(chunk)
                yield chunk
        except OSError as error:
            raise translate_os_error(error, url, position) from error


def _duplicate(url: str) -> int:
    # In a process that began without standard input, and in multiprocessing's, number 0 is something else.
    if sys.__stdin__ is None or sys.__stdin__.closed:
        raise FetchError("standard input is closed", url=url)
    try:
        # A number of its own: the loop may wait for 0 on behalf of somebody else.
        return os.dup(sys.__stdin__.fileno())
    except OSError as error:
        raise translate_os_error(error, url) from error
