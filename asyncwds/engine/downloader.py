"""Carries out what the scheduler decides: one task for each part in flight, and a reader that waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from asyncwds.engine.parts import Part, PartState, PartTrace, ShardRun
from asyncwds.engine.scheduler import Scheduler
from asyncwds.engine.stragglers import LOOK_EVERY, RESTARTS, Action, LateParts
from asyncwds.engine.tuning import Steering
from asyncwds.errors import FetchError, WdsError
from asyncwds.runtime.counters import Counters
from asyncwds.runtime.event_loop import run_to_completion
from asyncwds.runtime.process import advice, are_used_up
from asyncwds.storage.base import Body, Fetcher, ObjectRange
from asyncwds.storage.layers.hedge import affords_extra

HEAD_START = 0.008  # [s]: with 3 ms nothing is won, with 6 and more 15 ms


class Downloader:
    """The parts in flight. `tuned`: their number adapts, and is never lower than the scheduler's at the beginning.

    `outside` tells how many bytes samples hold: those not yet complete, and those that the consumer is not done with.

    The scheduler is told what happens to each part; the reader takes the bytes from there.
    """

    def __init__(
        self, scheduler: Scheduler, fetcher: Fetcher, counters: Counters, outside: Callable[[], int], *, tuned: bool
    ) -> None:
        self._scheduler = scheduler
        self._outside = outside
        self._fetcher = fetcher
        self._counters = counters
        self._steering = Steering(scheduler, counters, tuned=tuned)
        self._tasks: dict[Part, asyncio.Task[None]] = {}
        self._room: dict[Part, asyncio.Future[None]] = {}  # paused streams
        self._awaited: ShardRun | None = None
        self._arrived: asyncio.Future[None] | None = None  # set by the task that brings what the reader waits for
        self._waiting_since: float | None = None
        self._late_parts = LateParts()
        self._trace = None if counters.trace is None else PartTrace(counters.trace)
        self._watching: asyncio.TimerHandle | None = None
        self._first: asyncio.TimerHandle | None = None
        self._next: asyncio.Handle | None = None
        self._closed = False
        self._broken: Exception | None = None

    # -- for the reader -------------------------------------------------------------------------------------------

    def schedule(self) -> None:
        """Budget or connections may have become free: in the loop's next turn, once, what may start then is started."""
        if self._next is None and not self._closed:
            self._next = asyncio.get_running_loop().call_soon(self._apply)

    def _apply(self) -> None:
        """The one place where what the scheduler decides is done."""
        self._next = None
        with self._breaking():
            self._observe()
            if self._first is None:
                # Alone, for as long as the very first request takes: sixteen that begin together are all sent 15 ms later, and
                # the first answer comes as much later.
                self._scheduler.budget.connections = 1
                self._first = asyncio.get_running_loop().call_later(HEAD_START, self.schedule)
            for part in self._scheduler.startable():
                self._start(part)
            self._steering.count()
            if self._trace is not None:
                self._trace.measure(self._counters, self._scheduler.budget)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    def _observe(self) -> None:
        now = self._now()
        self._scheduler.budget.outside = self._outside()
        starved = self._counters.starved + (now - self._waiting_since if self._waiting_since is not None else 0.0)
        self._steering.observe(now, starved)

    async def wait_for(self, run: ShardRun | None) -> None:
        """Returns when more of a shard may have come; None for any. Raises what went wrong in here, if something did."""
        if self._broken is not None:
            raise self._broken
        self._awaited = run
        self._arrived = asyncio.get_running_loop().create_future()
        self._waiting_since = self._now()
        self._watch_later()
        try:
            await self._arrived
        finally:
            self._counters.starved += self._now() - self._waiting_since
            self._arrived = self._waiting_since = None

    def wake(self) -> None:
        """Ends the reader's wait, if it waits."""
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)

    def make_room(self, run: ShardRun) -> None:
        """Lets a stream go on that waited for the reader, who has taken a chunk."""
        room = self._room.get(run.parts[0]) if self._room and run.parts else None
        if room is not None and not room.done() and not run.parts[0].full:
            room.set_result(None)

    def cancel(self, part: Part) -> None:
        self._tasks[part].cancel()

    async def aclose(self) -> None:
        """Stops all fetches and closes the fetcher, even if it is cancelled meanwhile. Idempotent."""
        self._closed = True
        for timer in (self._first, self._watching, self._next):
            if timer is not None:
                timer.cancel()
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await run_to_completion(self._free(tasks))

    async def _free(self, tasks: list[asyncio.Task[None]]) -> None:
        try:
            await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            await self._fetcher.aclose()

    # -- starting and ending --------------------------------------------------------------------------------------

    def _start(self, part: Part) -> None:
        if self._trace is not None:
            self._trace.start(part)
        name = f"fetch {part.run.shard.index} from {part.start}"
        task = asyncio.create_task(self._fetch(part), name=name)
        # A callback and not a `finally` in the task: a task cancelled before its first step never enters its body.
        task.add_done_callback(partial(self._finished, part))
        self._tasks[part] = task

    def _finished(self, part: Part, task: asyncio.Task[None]) -> None:
        del self._tasks[part]
        if self._trace is not None:
            self._trace.finish(part)
        with self._breaking():
            if not task.cancelled():
                task.result()
            self._scheduler.released(part)
            self._on_data(part)
            self.schedule()

    @contextmanager
    def _breaking(self) -> Iterator[None]:
        """Around callbacks: their errors asyncio would only log, while the reader waits for what never comes."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - as above
            self._broken = error
            self.wake()

    # -- one part -------------------------------------------------------------------------------------------------

    async def _fetch(self, part: Part) -> None:
        run = part.run
        try:
            buffer = None if part.buffer is None else memoryview(part.buffer)
            wanted = ObjectRange(run.shard.url, part.start, part.stop, run.identity)
            asked = self._now()
            async with self._fetcher.open(wanted, buffer=buffer) as body:
                self._scheduler.answered(part, body.answer)
                self.schedule()
                self._steering.first_byte.add(self._now() - asked)
                if self._trace is not None:
                    self._trace.answer(part)
                await self._receive(part, body)
            self._scheduler.completed(part)
        except WdsError as error:
            self._scheduler.failed(part, error)
        except Exception as error:  # noqa: BLE001 - a fetcher's bug: it must reach the consumer, not end a task unseen
            self._scheduler.failed(part, _unexpected(error, run.shard.url))

    async def _receive(self, part: Part, body: Body) -> None:
        """Bytes [part.start, part.stop) of a body; one that came without ranges begins at 0 and goes to the end."""
        skip = part.start - body.answer.start
        async for received in body:
            chunk = received
            if skip:
                chunk, skip = chunk[skip:], max(0, skip - len(chunk))
            if part.stop is not None:  # which a split may have moved meanwhile
                chunk = chunk[: part.stop - part.start - part.received]
            if chunk:
                self._scheduler.received(part, chunk)
                self._on_data(part)
            if part.stop == part.start + part.received:
                return
            if part.full:
                await self._wait_for_room(part)

    async def _wait_for_room(self, part: Part) -> None:
        self._scheduler.budget.paused += 1
        self._room[part] = asyncio.get_running_loop().create_future()
        try:
            self.schedule()
            await self._room[part]
        finally:
            del self._room[part]
            self._scheduler.budget.paused -= 1

    def _on_data(self, part: Part) -> None:
        """Wakes the reader, if it waits for this part. Sixteen connections would wake it sixteen times as often as is of use."""
        run = part.run
        if self._arrived is None or self._awaited not in (None, run):
            return
        if not run.parts or run.parts[0] is part or part.state is not PartState.FETCHING:
            self.wake()

    # -- the parts that the reader waits for ----------------------------------------------------------------------

    def _watch_later(self) -> None:
        if self._watching is None:
            self._watching = asyncio.get_running_loop().call_later(LOOK_EVERY, self._watch)

    def _watch(self) -> None:
        """Helps parts that are late. Comes again and again while the reader has to wait at all."""
        self._watching = None
        if self._waiting_since is None:
            return
        with self._breaking():
            decided = self._late_parts.decide(self._scheduler.rotation.reading, self._awaited, self._now())
            if decided:
                self._watch_later()
            for part, action in decided:
                self._help(part, action)

    def _help(self, part: Part, action: Action) -> None:
        match action:
            case Action.SPLIT if rest := self._scheduler.split(part):
                self._start(rest)
                self._note_help(part, "split")
            case Action.RESTART if self._affords_restart() and (rest := self._scheduler.restart(part)):
                self._counters.restarts += 1
                self._start(rest)
                self._tasks[part].cancel()
                self._note_help(part, "restart")

    def _note_help(self, part: Part, action: str) -> None:
        if self._trace is not None:
            self._trace.help(part, action)

    def _affords_restart(self) -> bool:
        return affords_extra(self._counters, self._counters.requests, RESTARTS)


def _unexpected(error: Exception, url: str) -> FetchError:
    hint = f": {advice()}" if isinstance(error, OSError) and are_used_up(error) else ""
    failure = FetchError(f"the fetcher failed: {type(error).__name__}: {error}{hint}", url=url)
    failure.__cause__ = error
    return failure
