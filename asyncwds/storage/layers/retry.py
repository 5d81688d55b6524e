"""Goes on where a body broke: `Retrying`, a fetcher around a fetcher."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Self

from asyncwds.errors import ChangedError, FetchError, ShortBodyError
from asyncwds.runtime.counters import Counters
from asyncwds.settings.access import Retry
from asyncwds.storage.base import Answer, Body, Chunk, Fetcher, ObjectRange
from asyncwds.storage.layers.patience import Clock, Patience, Sleep, Streak


class Retrying:
    """Asks again for what is missing, after failures that may pass.

    A body that broke at byte n goes on at byte n, pinned to the identity and the size seen first. Where the source has no
    ranges it is read from its beginning again, and what was delivered already is dropped. `Retry.patience` seconds that
    bring next to nothing end it, or `Retry.tries` such requests in a row, with the last error.
    """

    def __init__(
        self, fetcher: Fetcher, retry: Retry, counters: Counters, *, sleep: Sleep = asyncio.sleep, now: Clock = time.monotonic
    ) -> None:
        self._fetcher = fetcher
        self._patience = Patience(retry, counters, sleep, now)

    def open(self, wanted: ObjectRange, *, buffer: memoryview | None = None) -> ResumedBody:
        return ResumedBody(self._fetcher, self._patience, wanted, buffer)

    async def aclose(self) -> None:
        await self._fetcher.aclose()


class ResumedBody:
    """One body out of as many as it takes, while its context is entered; `source` is the context of the one that is open."""

    _answer: Answer
    _chunks: AsyncIterator[Chunk]

    def __init__(self, fetcher: Fetcher, patience: Patience, wanted: ObjectRange, buffer: memoryview | None) -> None:
        self._fetcher = fetcher
        self._source: AbstractAsyncContextManager[Body] | None = None
        self._slow_start: asyncio.TimerHandle | None = None
        self._patience = patience
        self._wanted = wanted
        self._missing = wanted  # what is asked for next
        self._stop = wanted.stop
        self._buffer = buffer
        self._position = wanted.start  # of the next byte to deliver
        self._surplus = 0  # bytes before `position` that the open body still has to give
        self._streak = Streak()
        self._again = False  # the open body was asked for after another one had failed
        self._failed_at = wanted.start

    @property
    def answer(self) -> Answer:
        return self._answer

    async def __aenter__(self) -> Self:
        self._slow_start = self._patience.notice_slow_start(self._wanted.url)
        try:
            await self._begin()
        except BaseException as error:
            await self.__aexit__(type(error), error, error.__traceback__)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._slow_start is not None:
            self._slow_start.cancel()
        source, self._source = self._source, None
        if source is not None:
            await source.__aexit__(kind, error, traceback)

    async def _begin(self) -> None:
        try:
            self._answer = await self._patience.first(self._wanted.url, self._open)
        except FetchError as error:
            self._again = True
            self._answer = await self._patience.again(self._wanted.url, self._open, error, self._streak)
        self._position = self._answer.start
        # Without ranges the body is the whole object. With them at first and none later, only this body goes on too far.
        if not self._answer.ranged:
            self._buffer = self._stop = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Chunk:
        if self._position in (self._stop, self._answer.total):
            raise StopAsyncIteration
        try:
            chunk = await self._chunk()
        except FetchError as error:
            chunk = await self._go_on(error)
        if not chunk:
            raise StopAsyncIteration
        if self._stop is not None:
            chunk = chunk[: self._stop - self._position]
        self._position += len(chunk)
        return chunk

    async def _go_on(self, error: FetchError) -> Chunk:
        # A server that drips a byte into each answer would otherwise be asked for ever.
        if self._patience.is_progress(self._position - self._failed_at):
            self._streak.progressed()
        self._failed_at = self._position
        self._again = True
        return await self._patience.again(self._wanted.url, self._resume, error, self._streak)

    async def _open(self) -> Answer:
        if self._source is not None:  # what is left from the attempt before
            source, self._source = self._source, None
            await source.__aexit__(None, None, None)
        buffer = None if self._buffer is None else self._buffer[self._position - self._wanted.start :]
        opening = self._fetcher.open(self._missing, buffer=buffer)
        body = await opening.__aenter__()
        self._source = opening
        self._chunks = aiter(body)
        return body.answer

    async def _resume(self) -> Chunk:
        """The first bytes that a new body adds to those delivered; b"" if there are no more."""
        identity = self._wanted.identity or self._answer.identity
        self._missing = ObjectRange(self._wanted.url, self._position, self._stop, identity)
        answer = await self._open()
        if None not in (answer.total, self._answer.total) and answer.total != self._answer.total:
            raise self._error(ChangedError, f"the object's size changed from {self._answer.total} to {answer.total} bytes")
        self._surplus = self._position - answer.start
        if self._surplus < 0:
            raise self._error(FetchError, f"the source went on at byte {answer.start}")
        return await self._chunk()

    async def _chunk(self) -> Chunk:
        """The next bytes of the open body from `position` on; b"" at its end."""
        async for chunk in self._chunks:
            if self._again:
                self._patience.count_retried(len(chunk))
            if not self._surplus:
                return chunk
            fresh = chunk[self._surplus :]
            self._surplus = max(0, self._surplus - len(chunk))
            if fresh:
                return fresh
        if self._surplus:
            raise self._error(ShortBodyError, f"read anew, the object ended {self._surplus} bytes before what was read of it", True)
        return b""

    def _error(self, kind: type[FetchError], message: str, retryable: bool = False) -> FetchError:
        return kind(message, url=self._wanted.url, offset=self._position, retryable=retryable)
