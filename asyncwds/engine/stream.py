"""Reads a plan: gives out blocks of samples in its order, out of the bytes that `Downloader` brings.

Pull: each call of `next_block` parses chunks that have come until a block is complete. Downloads go on between the
calls, up to the budget. So nothing is queued twice: the parts are the buffer.
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import length_hint
from time import perf_counter

from asyncwds.engine.blocks import Block, ReadOptions
from asyncwds.engine.downloader import Downloader
from asyncwds.engine.parts import ShardRun, run_of
from asyncwds.engine.positions import Position, Turn
from asyncwds.engine.reading import Reading, open_reading
from asyncwds.engine.scheduler import Scheduler
from asyncwds.errors import ChecksumError, redact
from asyncwds.runtime.counters import Counters
from asyncwds.runtime.recorder import READER
from asyncwds.settings.reading import Prefetch
from asyncwds.shards.shard import Shard
from asyncwds.storage.base import Distrusting, Fetcher

WORTH_A_SPAN = 10e-6  # [s]: shorter ones found nothing to unpack


class BlockStream:
    """The engine. One consumer calls `next_block` until it returns None, then (or at any time) `aclose`.

    With `start` it goes on from there: `shards` are the plan's from those on that had not been begun.
    """

    def __init__(  # noqa: PLR0917 - what it is made of
        self,
        shards: Iterator[Shard | None],
        fetcher: Fetcher,
        prefetch: Prefetch,
        options: ReadOptions,
        counters: Counters,
        start: Position | None = None,
    ) -> None:
        position = start or Position(0, ())
        self._options = options
        self._fetcher = fetcher
        self._counters = counters
        self._arrival = prefetch.order == "arrival"
        self._turn_samples = turn_samples(prefetch)
        self._turn_left = position.left or self._turn_samples
        self._scheduler = Scheduler(
            shards,
            connections=prefetch.interleave if prefetch.connections == "auto" else prefetch.connections,
            budget=prefetch.buffer_bytes - window_bytes(prefetch),
            window=window_bytes(prefetch),
            part_bytes=prefetch.part_size(),
            least_part=prefetch.least_part(),
            interleave=prefetch.interleave,
            arrival=self._arrival,
            begun=[run_of(shard.rest(), shard.sequence) for shard in position.open],
            entered=position.entered,
            gap=position.gap,
        )
        self._rotation = self._scheduler.rotation
        self._rotation.turn = position.turn
        self._downloader = Downloader(self._scheduler, fetcher, counters, self._outside, tuned=prefetch.connections == "auto")
        self._readings: dict[ShardRun, Reading] = {}
        self._started = False

    async def next_block(self) -> Block | None:
        """The next block that has samples or an error; None at the end of the plan.

        Raises what the plan raised (a user's splitter), once all shards before that are read.
        """
        if not self._started:
            self._started = True
            self._downloader.schedule()
        while (block := self.ready_block()) is None:
            run = self._rotation.current()
            if run is None and self._rotation.exhausted:
                if self._rotation.plan_error is not None:
                    raise self._rotation.plan_error
                return None
            began = perf_counter()
            await self._downloader.wait_for(None if self._arrival else run)
            ended = perf_counter()
            if run is None:
                self._counters.undecided += ended - began
            if self._counters.trace is not None:
                self._counters.trace.span(READER, "wait for shards" if run is None else "wait for bytes", began, ended)
        return block

    def more_shards(self) -> None:
        """To be called when a plan that had no shard yet has one, or has ended."""
        self._downloader.schedule()
        self._downloader.wake()

    def ready_block(self) -> Block | None:
        """The next block if the bytes for it have come; None if more have to come, or at the end."""
        while (run := self._rotation.current()) is not None:
            began = perf_counter()
            block = self._advance_any() if self._arrival else self._advance(run)
            ended = perf_counter()
            self._counters.parsed += ended - began
            if self._counters.trace is not None and ended - began > WORTH_A_SPAN:
                samples, nbytes = (0, 0) if block is None else (len(block.samples), block.nbytes)
                shard = redact(run.shard.url)
                self._counters.trace.span(READER, "unpack", began, ended, shard=shard, samples=samples, bytes=nbytes)
            if block is None or block.samples or block.error is not None:
                return block
        return None

    async def aclose(self) -> None:
        """Stops all fetches and closes the fetcher, even if it is cancelled meanwhile. Idempotent."""
        try:
            await self._downloader.aclose()
        finally:
            self._readings.clear()

    def _outside(self) -> int:
        """Bytes that samples hold: those that are not complete or not given out, and those that the consumer is not done with."""
        held = self._counters.given - self._counters.taken
        for reading in self._readings.values():
            held += reading.held
        return held

    def _advance_any(self) -> Block | None:
        # As many samples as there are shards may be half read. When those take too much, the first shard alone is read on:
        # its next part may always start.
        most = 1 if self._scheduler.budget.pressed else None
        for run in self._rotation.reading[:most]:
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
                    return self._given_out(run, reading, reading.without_given(block) if reading.wanted else block)
                if reading.reader.failed or reading.finishing or reading.complete:
                    return self._end(run, failed=reading.reader.failed)
            block = self._take(run)
            if block is not _NOTHING:  # which says: there is more to look at
                return block

    def _take(self, run: ShardRun) -> Block | None:
        if run.used:
            self._reading(run).inner.detach()
            self._scheduler.recycle(run)
            self._downloader.schedule()
        chunk = self._scheduler.take(run)
        if chunk is not None:
            self._downloader.make_room(run)
            self._downloader.schedule()
            reading = self._reading(run)
            reading.blocks = iter(reading.reader.feed(chunk))
            return _NOTHING
        error = self._scheduler.failure(run)
        if error is not None:
            reading = self._reading(run)
            reading.blocks = iter((reading.reader.abort(error),))
            return _NOTHING
        if self._scheduler.at_end(run):
            self._reading(run).finish()
            return _NOTHING
        return None

    def _reading(self, run: ShardRun) -> Reading:
        reading = self._readings.get(run)
        if reading is None:
            reading = self._readings[run] = open_reading(run, self._options)
        return reading

    def _given_out(self, run: ShardRun, reading: Reading, block: Block) -> Block:
        if run.seekable and not reading.inner.seekable:
            run.seekable = False
        if block.samples:
            block = self._turned(run, reading, block)
        # Counted here and not at the shard's end: a consumer who raises the error comes for nothing more.
        if block.error is not None and reading.reader.failed:
            self._counters.shards_failed += 1
        if isinstance(block.error, ChecksumError) and isinstance(self._fetcher, Distrusting):
            self._fetcher.distrust(run.shard.url)
        return block

    def _turned(self, run: ShardRun, reading: Reading, block: Block) -> Block:
        rotation = self._rotation
        shards, index, left = rotation.open_shards(), rotation.turn, self._turn_left
        if self._turn_samples:
            block = self._cut_to_turn(reading, block)
        ends = (
            reading.rest is None
            and block.error is None
            and not reading.reader.failed
            and (reading.complete or (reading.finishing and not length_hint(reading.blocks, 1)))
        )
        turn = Turn(shards, index, left, rotation.entered, run, len(block.samples), ends)
        return Block(block.samples, block.nbytes, block.error, (turn,))

    def _cut_to_turn(self, reading: Reading, block: Block) -> Block:
        """Ends a turn after a fixed number of samples, wherever the chunks were cut."""
        if len(block.samples) > self._turn_left:
            now = block.samples[: self._turn_left]
            size = min(block.nbytes, sum(map(self._options.size_of, now)))
            reading.rest = Block(block.samples[self._turn_left :], block.nbytes - size, block.error)
            block = Block(now, size)
        self._turn_left -= len(block.samples)
        if self._turn_left == 0:
            self._turn_left = self._turn_samples
            self._rotation.next_turn()
        return block

    def _end(self, run: ShardRun, *, failed: bool) -> Block:
        for part in self._scheduler.end(run):
            self._downloader.cancel(part)
        reading = self._readings.pop(run, None)
        if reading is not None:
            self._counters.repeated_keys += reading.inner.repeated_keys
        self._downloader.schedule()
        self._turn_left = self._turn_samples
        self._counters.shards += not failed
        return _NOTHING


_NOTHING = Block([], 0)


def turn_samples(prefetch: Prefetch) -> int:
    """How many samples a shard gives in its turn; 0 where it gives all of them."""
    return prefetch.interleave_samples if prefetch.interleave > 1 and prefetch.order == "plan" else 0


def window_bytes(prefetch: Prefetch) -> int:
    """The share of `buffer_bytes` for blocks on their way to the consumer; the rest is for parts in flight."""
    return max(1, prefetch.buffer_bytes // 8)
