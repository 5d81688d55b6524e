"""Runs a plan: carries out what the scheduler decides, and gives out blocks of samples in the order of the plan.

Pull: each call of `next_block` parses chunks that have come until a block is complete. Fetches go on between the
calls, up to the budget. So nothing is queued twice: the parts are the buffer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter

from asyncwds.engine.parts import Part, PartState, ShardRun
from asyncwds.engine.readahead import ReadAhead
from asyncwds.engine.reader import Block, ChunkReader, ReadOptions, ShardReader
from asyncwds.engine.scheduler import Scheduler
from asyncwds.engine.tuner import START, Tuner
from asyncwds.engine.watch import LOOK_EVERY, Help, Watch
from asyncwds.errors import FetchError, WdsError
from asyncwds.model import Prefetch, Shard
from asyncwds.stats import Counters
from asyncwds.storage.base import Body, Fetcher
from asyncwds.storage.closing import to_its_end
from asyncwds.urls import local_path


@dataclass(slots=True)
class _Reading:
    """The reader's side of a shard: its parser, and the blocks of the chunk taken last."""

    reader: ShardReader | ChunkReader
    blocks: Iterator[Block] = field(default_factory=lambda: iter(()))
    rest: Block | None = None  # what a turn in the rotation left over
    finishing: bool = False


class BlockStream:
    """The engine. One consumer calls `next_block` until it returns None, then (or at any time) `aclose`."""

    def __init__(
        self, shards: Iterator[Shard | None], fetcher: Fetcher, prefetch: Prefetch, options: ReadOptions, counters: Counters
    ) -> None:
        self._fetcher = fetcher
        self._options = options
        self._counters = counters
        self._arrival = prefetch.order == "arrival"
        self._turn_samples = prefetch.interleave_samples if prefetch.interleave > 1 and not self._arrival else 0
        self._turn_left = self._turn_samples
        self._tuner = Tuner(max(START, prefetch.interleave)) if prefetch.connections == "auto" else None
        self._least = prefetch.interleave
        self._ahead = ReadAhead()
        self._scheduler = Scheduler(
            shards,
            connections=self._tuner.connections if self._tuner else int(prefetch.connections),
            budget=prefetch.buffer_bytes - window_bytes(prefetch),
            part_bytes=prefetch.part_size(),
            interleave=prefetch.interleave,
            arrival=self._arrival,
        )
        self._readings: dict[ShardRun, _Reading] = {}
        self._tasks: dict[Part, asyncio.Task[None]] = {}
        self._room: dict[Part, asyncio.Future[None]] = {}  # paused streams
        self._awaited: ShardRun | None = None
        self._arrived: asyncio.Future[None] | None = None  # set by the task that brings what the reader waits for
        self._waiting_since: float | None = None
        self._watch = Watch()
        self._looking: asyncio.TimerHandle | None = None
        self._started = False
        self._closed = False
        self._broken: Exception | None = None

    async def next_block(self) -> Block | None:
        """The next block that has samples or an error; None at the end of the plan.

        Raises what the plan raised (a user's splitter), once all shards before that are read.
        """
        if not self._started:
            self._started = True
            self._pump()
        while (block := self.ready_block()) is None:
            if self._broken is not None:
                raise self._broken
            run = self._scheduler.current()
            if run is None and self._scheduler.exhausted:
                if self._scheduler.plan_error is not None:
                    raise self._scheduler.plan_error
                return None
            await self._wait(run)
        return block

    def more_shards(self) -> None:
        """To be called when a plan that had no shard yet has one, or has ended."""
        if not self._closed:
            self._pump()
            if self._arrived is not None and not self._arrived.done():
                self._arrived.set_result(None)

    def ready_block(self) -> Block | None:
        """The next block if the bytes for it have come; None if more have to come, or at the end."""
        while (run := self._scheduler.current()) is not None:
            began = perf_counter()
            block = self._advance_any() if self._arrival else self._advance(run)
            self._counters.parsed += perf_counter() - began
            if block is None or block.samples or block.error is not None:
                return block
        return None

    async def aclose(self) -> None:
        """Stops all fetches and closes the fetcher, even if it is cancelled meanwhile. Idempotent."""
        self._closed = True
        if self._looking is not None:
            self._looking.cancel()
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await to_its_end(self._free(tasks))

    async def _free(self, tasks: list[asyncio.Task[None]]) -> None:
        try:
            await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            self._readings.clear()
            await self._fetcher.aclose()

    # -- the reader -----------------------------------------------------------------------------------------------

    def _advance_any(self) -> Block | None:
        for run in tuple(self._scheduler.reading):
            block = self._advance(run)
            if block is not None:
                return block
        return None

    def _advance(self, run: ShardRun) -> Block | None:
        """The next block of a shard, which may be empty; None if more bytes have to come first."""
        while True:
            reading = self._readings.get(run)
            if reading is not None:
                block = reading.rest or next(reading.blocks, None)
                reading.rest = None
                if block is not None:
                    return self._cut_to_turn(reading, block) if self._turn_samples else block
                if reading.reader.failed or reading.finishing:
                    return self._end(run, failed=reading.reader.failed)
            block = self._take(run)
            if block is not _NOTHING:  # which says: there is more to look at
                return block

    def _take(self, run: ShardRun) -> Block | None:
        if run.used:
            self._reading(run).reader.own()
            self._scheduler.recycle(run)
            self._pump()
        chunk = self._scheduler.take(run)
        if chunk is not None:
            self._make_room(run)
            self._pump()
            reading = self._reading(run)
            reading.blocks = iter(reading.reader.feed(chunk))
            return _NOTHING
        error = self._scheduler.failure(run)
        if error is not None:
            reading = self._reading(run)
            reading.blocks = iter((reading.reader.give_up(error),))
            return _NOTHING
        if self._scheduler.at_end(run):
            reading = self._reading(run)
            reading.blocks = reading.reader.finish()
            reading.finishing = True
            return _NOTHING
        return None

    def _reading(self, run: ShardRun) -> _Reading:
        reading = self._readings.get(run)
        if reading is None:
            reader = self._options.reader(run.shard, run.total, run.path or local_path(run.shard.url))
            reading = self._readings[run] = _Reading(reader)
        return reading

    def _cut_to_turn(self, reading: _Reading, block: Block) -> Block:
        """Ends a turn after a fixed number of samples, wherever the chunks were cut."""
        if len(block.samples) > self._turn_left:
            reading.rest = Block(block.samples[self._turn_left :], 0, block.error)
            block = Block(block.samples[: self._turn_left], block.nbytes)
        self._turn_left -= len(block.samples)
        if self._turn_left == 0:
            self._turn_left = self._turn_samples
            self._scheduler.next_turn()
        return block

    def _end(self, run: ShardRun, *, failed: bool) -> Block:
        for part in self._scheduler.end(run):
            self._tasks[part].cancel()
        self._readings.pop(run, None)
        self._pump()
        self._turn_left = self._turn_samples
        self._counters.shards_failed += failed
        self._counters.shards += not failed
        return _NOTHING

    async def _wait(self, run: ShardRun | None) -> None:
        self._awaited = None if self._arrival else run
        self._arrived = asyncio.get_running_loop().create_future()
        self._waiting_since = perf_counter()
        self._look_later()
        try:
            await self._arrived
        finally:
            self._counters.starved += perf_counter() - self._waiting_since
            self._arrived = self._waiting_since = None

    def _look(self) -> None:
        """Helps the part that the reader waits for, if it is late. Comes again and again while the reader has to wait at all."""
        self._looking = None
        run = self._awaited
        if self._waiting_since is None or run is None or not run.parts:
            return
        self._look_later()
        with self._breaking():
            self._help(run.parts[0])

    def _help(self, part: Part) -> None:
        match self._watch.look(part, perf_counter()):
            case Help.SPLIT if rest := self._scheduler.split(part):
                self._counters.splits += 1
                self._start(rest)
            case Help.RESTART if self._counters.affords_another() and (rest := self._scheduler.restart(part)):
                self._counters.restarts += 1
                self._start(rest)
                self._tasks[part].cancel()

    def _look_later(self) -> None:
        if self._looking is None:
            self._looking = asyncio.get_running_loop().call_later(LOOK_EVERY, self._look)

    # -- the fetches ----------------------------------------------------------------------------------------------

    def _pump(self) -> None:
        """Starts what may start. Called whenever budget or connections may have become free."""
        scheduler = self._scheduler
        now, counters = perf_counter(), self._counters
        starved = counters.starved + (now - self._waiting_since if self._waiting_since is not None else 0.0)
        scheduler.ahead = self._ahead.observe(now, starved, resting=scheduler.resting)
        if self._tuner is not None:
            scheduler.connections = max(self._least, self._tuner.observe(now, counters.bytes, starved, counters.throttled))
        for part in scheduler.startable():
            self._start(part)
        self._count()

    def _start(self, part: Part) -> None:
        name = f"fetch {part.run.shard.index} from {part.start}"
        task = asyncio.create_task(self._fetch(part), name=name)
        # A callback and not a `finally` in the task: a task cancelled before its first step never enters its body.
        task.add_done_callback(partial(self._finished, part))
        self._tasks[part] = task

    def _finished(self, part: Part, task: asyncio.Task[None]) -> None:
        del self._tasks[part]
        with self._breaking():
            if not task.cancelled():
                task.result()
            self._scheduler.released(part)
            self._wake(part)
            if not self._closed:
                self._pump()

    @contextmanager
    def _breaking(self) -> Iterator[None]:
        """Around callbacks: their errors asyncio would only log, while the reader waits for what never comes."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - as above
            self._broken = error
            if self._arrived is not None and not self._arrived.done():
                self._arrived.set_result(None)

    def _count(self) -> None:
        counters, scheduler = self._counters, self._scheduler
        counters.connections = scheduler.connections
        counters.in_flight = scheduler.in_flight
        counters.in_flight_peak = max(counters.in_flight_peak, scheduler.in_flight)
        counters.buffered = scheduler.reserved
        counters.buffered_peak = max(counters.buffered_peak, scheduler.reserved)

    async def _fetch(self, part: Part) -> None:
        run = part.run
        try:
            buffer = None if part.buffer is None else memoryview(part.buffer)
            async with self._fetcher.open(run.shard.url, part.start, part.stop, run.identity, buffer=buffer) as body:
                self._scheduler.answered(part, body.answer)
                self._pump()
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
                self._wake(part)
            if part.stop == part.start + part.received:
                return
            if part.full:
                await self._wait_for_room(part)

    async def _wait_for_room(self, part: Part) -> None:
        self._scheduler.paused += 1
        self._room[part] = asyncio.get_running_loop().create_future()
        try:
            self._pump()
            await self._room[part]
        finally:
            del self._room[part]
            self._scheduler.paused -= 1

    def _make_room(self, run: ShardRun) -> None:
        room = self._room.get(run.parts[0]) if self._room and run.parts else None
        if room is not None and not room.done() and not run.parts[0].full:
            room.set_result(None)

    def _wake(self, part: Part) -> None:
        """Wakes the reader, if it waits for this part. Sixteen connections would wake it sixteen times as often as is of use."""
        run = part.run
        if self._arrived is None or self._arrived.done() or self._awaited not in (None, run):
            return
        if not run.parts or run.parts[0] is part or part.state is not PartState.FETCHING:
            self._arrived.set_result(None)


_NOTHING = Block([], 0)


def window_bytes(prefetch: Prefetch) -> int:
    """The share of `buffer_bytes` for blocks on their way to the consumer; the rest is for parts in flight."""
    return max(1, prefetch.buffer_bytes // 8)


def _unexpected(error: Exception, url: str) -> FetchError:
    failure = FetchError(f"the fetcher failed: {type(error).__name__}: {error}", url=url)
    failure.__cause__ = error
    return failure
