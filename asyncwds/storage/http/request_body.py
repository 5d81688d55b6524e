"""The bytes of a request: `RequestBody`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Self

from asyncwds.runtime.event_loop import Deadlines
from asyncwds.runtime.units import KiB
from asyncwds.settings.access import Retry
from asyncwds.storage.base import Chunk
from asyncwds.storage.http.connections import StallClock
from asyncwds.storage.object_store import BodySource, StoreRequest

_PIECE = 256 * KiB
# An answer comes when the server has put the object away, which takes longer than to find one.
_ANSWER_PATIENCE = 3  # times `stall_timeout`


class RequestBody:
    """A body from beginning to end, as aiohttp asks for it; while it waits for the network a clock runs.

    `length` [bytes] is None of a body that is not finished; that goes out in chunks.
    """

    _clock: StallClock
    _limit: asyncio.Timeout

    def __init__(self, source: BodySource, retry: Retry, deadlines: Deadlines) -> None:
        self.length = source.size if source.finished else None
        self.sent = 0  # bytes that the network has taken
        self._source = source
        self._retry = retry
        self._deadlines = deadlines
        self._given = 0  # bytes that it has not taken yet

    @property
    def is_given(self) -> bool:
        """Whether all of it was handed over."""
        return self._source.finished and self.sent + self._given == self._source.size

    @property
    def is_sent(self) -> bool:
        return self._source.finished and self.sent == self._source.size

    @contextmanager
    def watch(self, limit: asyncio.Timeout) -> Iterator[None]:
        """Within it, `limit` ends when the network takes too few bytes, or no answer comes after the last one."""
        self._limit = limit
        # It does not refer to this: in a circle the error of the task that is limited would keep open what its caller has open.
        self._clock = StallClock(self._retry, lambda: _expire(limit, 0), self._deadlines)
        try:
            yield
        finally:
            self._clock.stop()

    def expect_page(self) -> None:
        """An answer has begun."""
        _expire(self._limit, self._retry.stall_timeout)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Chunk:
        if self._given:
            self._clock.end(self._given)
        self.sent += self._given
        self._given = 0
        piece = await self._source.piece(self.sent)
        self._given = len(piece)
        if not piece:
            _expire(self._limit, _ANSWER_PATIENCE * self._retry.stall_timeout)
            raise StopAsyncIteration
        self._clock.begin()
        return piece


class _InMemory:
    """All of a body, as a `BodySource`."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)
        self.size = len(data)
        self.finished = True

    async def piece(self, position: int) -> Chunk:
        return self._data[position : position + _PIECE]


def body_of(request: StoreRequest, retry: Retry, deadlines: Deadlines) -> RequestBody:
    """A new one for each attempt."""
    return RequestBody(request.source or _InMemory(request.body), retry, deadlines)


def _expire(limit: asyncio.Timeout, seconds: float) -> None:
    with suppress(RuntimeError):  # it is over: an answer came before the body's end, or none in time
        limit.reschedule(asyncio.get_running_loop().time() + seconds)
