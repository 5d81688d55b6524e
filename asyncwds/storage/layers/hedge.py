"""A second request where the first is late: `Hedged`, a fetcher around a fetcher."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from types import TracebackType

from asyncwds.errors import redact
from asyncwds.runtime.counters import Counters
from asyncwds.runtime.event_loop import Deadlines, TimeLimit
from asyncwds.runtime.recorder import READER
from asyncwds.settings.access import Retry
from asyncwds.storage.base import Body, Fetcher, ObjectRange

FEW = 4  # extra requests; a store that is slow at first must not get twice as many
MIN_SEEN = 20  # answers before a quantile of their times means something
EARLY_PATIENCE = 1.0  # [s] before that: a connection that never answers would cost `connect_timeout` and `stall_timeout`
MIN_PATIENCE = 0.02  # [s] below this a second request costs more than it saves
_REFRESH = 32  # requests between two looks at the times seen: sorting 512 of them takes 60 µs


def affords_extra(counters: Counters, asked: int, share: float) -> bool:
    """Whether one more request may be made beside those that are needed, where an answer is late or a part has stalled.

    A few, and then a `share` of all that were `asked` for. All kinds count together.
    """
    return counters.hedges + counters.restarts < FEW + asked * share


class LateAnswers:
    """When a first byte is late, and whether another request may be made for it.

    Late is later than the quantile `Retry.hedge` of `Counters.first_bytes`, which the fetcher inside has to fill. At most the
    part `Retry.hedge_extra` of all that is asked for are second ones, however many redirects each of them takes, and a few. While
    too few answers were seen, late is `EARLY_PATIENCE`, and there are only those few.
    """

    def __init__(self, retry: Retry, counters: Counters) -> None:
        self.asked = 0  # bodies, second ones among them
        self._retry = retry
        self._counters = counters
        self._patience: float | None = None
        self._refresh_at = 0

    def patience(self) -> float | None:
        """Seconds [s] after which an answer is late; None where that does not matter."""
        if self._retry.hedge is None or not self._retry.hedge_extra:
            return None
        if self._counters.requests >= self._refresh_at:
            self._refresh_at = self._counters.requests + _REFRESH
            times = sorted(self._counters.first_bytes)
            if len(times) >= MIN_SEEN:
                self._patience = max(MIN_PATIENCE, times[int(len(times) * self._retry.hedge)])
        return EARLY_PATIENCE if self._patience is None else self._patience

    def affords_second(self) -> bool:
        return affords_extra(self._counters, 0 if self._patience is None else self.asked, self._retry.hedge_extra)


class Hedged:
    """Asks again, on another connection, when an answer is late (`LateAnswers`): what comes first is used, the other is closed."""

    def __init__(self, fetcher: Fetcher, retry: Retry, counters: Counters) -> None:
        self._fetcher = fetcher
        self._counters = counters
        self._late = LateAnswers(retry, counters)
        self._deadlines = Deadlines()

    def open(self, wanted: ObjectRange, *, buffer: memoryview | None = None) -> AbstractAsyncContextManager[Body]:
        self._late.asked += 1
        patience = self._late.patience()
        first = self._fetcher.open(wanted, buffer=buffer)
        if patience is None:
            return first
        return _Race(first, patience, partial(self._second, wanted), self._deadlines)

    def _second(self, wanted: ObjectRange) -> _Attempt | None:
        if not self._late.affords_second():
            return None
        self._counters.hedges += 1
        if self._counters.trace is not None:
            self._counters.trace.mark(READER, "second request", url=redact(wanted.url), start=wanted.start)
        self._late.asked += 1
        return _Attempt(self._fetcher.open(wanted))  # without the buffer: two must not write to it

    async def aclose(self) -> None:
        self._deadlines.close()
        await self._fetcher.aclose()


class _Race:
    """A request, and another one after `patience` [s]. What comes first wins; a failure loses against an answer still to come.

    The first runs in the task that waits for it, and not in one of its own, which would cost each request 60 µs.
    """

    def __init__(
        self,
        first: AbstractAsyncContextManager[Body],
        patience: float,
        begin_second: Callable[[], _Attempt | None],
        deadlines: Deadlines,
    ) -> None:
        self._first: AbstractAsyncContextManager[Body] | None = first
        self._patience = patience
        self._begin_second = begin_second
        self._second: _Attempt | None = None
        self._deadlines = deadlines
        self._limit = TimeLimit(deadlines)  # of the first, over once the second has answered

    async def __aenter__(self) -> Body:
        late = self._deadlines.add(self._patience, self._is_late)
        try:
            return await self._winner()
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        finally:
            self._deadlines.drop(late)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Frees whatever the requests have come to."""
        first, self._first = self._first, None
        try:
            if first is not None:
                await first.__aexit__(kind, error, traceback)
        finally:
            if self._second is not None:
                await self._second.close()

    async def _winner(self) -> Body:
        assert self._first is not None
        first, self._first = self._first, None  # nothing is to be left until it is entered
        try:
            with self._limit:
                body = await first.__aenter__()
                self._first = first
        except Exception:
            if self._second is None:
                raise
            await asyncio.wait([self._second.entering])
            return await self._second.entering
        if self._second is not None:
            await self._second.close()
        return body

    def _is_late(self) -> None:
        self._second = self._begin_second()
        if self._second is not None:
            self._second.entering.add_done_callback(self._second_is_there)

    def _second_is_there(self, entering: asyncio.Task[Body]) -> None:
        if self._first is None and not entering.cancelled() and entering.exception() is None:
            self._limit.expire()


class _Attempt:
    """A request on its way in a task of its own, and its body once it has come."""

    def __init__(self, context: AbstractAsyncContextManager[Body]) -> None:
        self._context = context
        self._closed = False
        self.entering: asyncio.Task[Body] = asyncio.create_task(self._enter())

    @property
    def failed(self) -> bool:
        return self.entering.cancelled() or self.entering.exception() is not None

    async def close(self) -> None:
        """Frees whatever the request has come to. Finishes that even if it is cancelled itself."""
        if self._closed:
            return
        self._closed = True
        self.entering.cancel()
        interrupted: asyncio.CancelledError | None = None
        while not self.entering.done():
            try:
                await asyncio.wait([self.entering])
            except asyncio.CancelledError as error:
                interrupted = error
        if not self.failed:
            await self._context.__aexit__(None, None, None)
        if interrupted is not None:
            raise interrupted

    async def _enter(self) -> Body:
        return await self._context.__aenter__()
