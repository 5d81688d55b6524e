"""Decides which parts of which shards may be fetched now. No I/O and no awaits: tasks in `downloader` carry it out.

A shard's life, and what moves it on:

    WAITING ──start──► PROBING ──answer──► RANGED (more parts may start; one to the end if the size is unknown)
                                    └────► STREAMED (no ranges: its only part runs to the end of the shard)
    RANGED, STREAMED ──all bytes read, or given up──► ENDED

A part's life: FETCHING ──► COMPLETE ──► READ, or FAILED, or DROPPED when its shard is given up before. A part holds its
connection and its buffer until `released`, whatever its state, so that the number in flight is exact and nothing is written to
a buffer that has been lent again.

Three rules bound memory and cannot deadlock:

1. Parts start in plan order; when the first that could start does not fit, none behind it starts either.
2. A part starts only if its size fits into the budget together with all reserved bytes and those that samples hold (see
   `Budget.allowed`), a connection is free, and no more than `ahead` parts beside those that fill all connections are started
   and not read.
3. The part that the reader needs next may start whatever the budget says.

A part that is slow while the reader waits for it can be `split`: its second half, or all that is still to come if it has
stalled, goes to another connection.

A stream without ranges reserves one part's size and pauses when as many bytes wait in it; so it can hold its
connection for ever. Rule 1 keeps a connection for the shard that is read (its first part started before any part
of a later shard did), unless the tuner lowered the number meanwhile: then rule 3 also overrides that.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator, Sequence
from operator import attrgetter

from asyncwds.engine.budget import Budget
from asyncwds.engine.interleave import Interleave
from asyncwds.engine.parts import Part, PartState, ShardRun, ShardState, next_chunk
from asyncwds.engine.tuning import PartSizes
from asyncwds.errors import WdsError
from asyncwds.runtime.units import MiB
from asyncwds.shards.shard import Shard
from asyncwds.storage.base import Answer, Chunk

LEAST_SPLIT = MiB // 4  # [bytes] still to come that are worth another request


class Scheduler:
    """What may start, and what becomes of it: `budget` counts what it takes, `rotation` has whose turn it is to be read.

    Parts have `part_bytes`, or between `least_part` and that. `begun`, `entered` and `gap` are as in `Interleave`.
    """

    def __init__(
        self,
        shards: Iterator[Shard | None],
        *,
        connections: int,
        budget: int,
        window: int = 0,
        part_bytes: int,
        least_part: int | None = None,
        interleave: int = 1,
        arrival: bool = False,
        begun: Sequence[ShardRun] = (),
        entered: int = 0,
        gap: int | None = None,
    ) -> None:
        self.budget = Budget(budget, window, connections, part_bytes)
        self.sizes = PartSizes(least_part or part_bytes, part_bytes)
        self.splits = 0
        self._usual = 0  # size [bytes] of the shard whose answer came last, if it has ranges
        self._todo = sorted(begun, key=attrgetter("sequence"))  # the startable ones, in plan order
        self.rotation = Interleave(shards, None if arrival else interleave, self._todo.append, begun, entered, gap)

    # -- what may start -------------------------------------------------------------------------------------------

    def startable(self) -> list[Part]:
        """The parts that may start now, marked as started. The caller fetches each and reports what happens."""
        self.budget.free_spare_buffers()
        started: list[Part] = []
        while True:
            needed = self._needed()
            run = needed or self._next_run()
            if run is None or not (self._fits(run) or needed):
                return started
            started.append(self._start(run))

    def _part_bytes(self, run: ShardRun | None) -> int:
        """The size [bytes] of a shard's next part; that of a new shard's first one if it is None."""
        reading = self.rotation.reading
        ahead = run.ahead * len(reading) if run is not None and run in reading else self.budget.reserved
        if run is not None and run.next_start is not None and self.budget.connections == 1:
            ahead = max(ahead, run.next_start)  # nobody else could bring a piece of it meanwhile
        return self.sizes.next(ahead, self.budget.connections, self.budget.nbytes)

    def _needed(self) -> ShardRun | None:
        """The shard that the reader stands still for because nothing of it is in flight, if it may start at once."""
        run = self.rotation.current()
        if run is None:
            return None
        self._skip_read_parts(run)
        if run.parts or not run.startable:
            return None
        budget = self.budget
        return run if budget.in_flight < budget.connections or budget.in_flight == budget.paused else None

    def _fits(self, run: ShardRun) -> bool:
        return self.budget.has_connection and self.budget.has_room(self._kept_from(run) + self._size(run))

    def _kept_from(self, run: ShardRun) -> int:
        """What other shards leave to the one that is read, as long as nobody knows how large that is: room for its next part.

        If it answers late, they would fill the budget meanwhile, and each of its parts would pass that by rule 3.
        """
        current = self.rotation.current()
        probing = current is not None and current is not run and current.state is ShardState.PROBING
        return self.sizes.most if probing else 0

    def _size(self, run: ShardRun) -> int:
        size = self._part_bytes(run)
        bound = run.bound
        return size if bound is None or run.next_start is None else min(size, bound - run.next_start)

    def _next_run(self) -> ShardRun | None:
        if self._todo:
            rotates = len(self.rotation.reading) > 1 and self.rotation.slots is not None
            return min(self._todo, key=self._urgency) if rotates else self._todo[0]
        # A new shard is opened only when it can start, so that plans without end are drawn no further than needed.
        if self.budget.has_connection and self.budget.reserved + self._part_bytes(None) <= self.budget.nbytes:
            return self.rotation.open()
        return None

    def _urgency(self, run: ShardRun) -> tuple[bool, int, int]:
        """Shards in rotation first, those with the fewest parts ahead of the reader before the others."""
        in_rotation = run in self.rotation.reading
        return not in_rotation, len(run.parts) if in_rotation else 0, run.sequence

    def _start(self, run: ShardRun) -> Part:
        assert run.next_start is not None
        size = self._size(run)
        stop = None if run.state is ShardState.RANGED and run.bound is None else run.next_start + size
        part = Part(run, run.next_start, stop, size)
        expected = size if run.total is not None else min(self._usual, size)
        self.budget.lend_buffer(part, expected, self.sizes.most_for(self.budget.connections, self.budget.nbytes))
        run.next_start = None if stop == run.bound else stop
        run.parts.append(part)
        if run.state is ShardState.WAITING:
            run.state = ShardState.PROBING
        if not run.startable:
            self._todo.remove(run)
        self.budget.count_in(part)
        return part

    def split(self, part: Part) -> Part | None:
        """Cuts what is still to come of a part in two, and starts the second half; None if it is not worth it or has no connection.

        The part's task ends by itself at its new `stop`.
        """
        missing = part.missing
        if missing is None or missing < LEAST_SPLIT or self.budget.in_flight >= self.budget.connections:
            return None
        self.splits += 1
        return self._cut(part, missing // 2)

    def restart(self, part: Part) -> Part | None:
        """Starts what is still to come of a part anew; None if that is unknown. The caller must cancel the part's own task."""
        if not part.missing:
            return None
        rest = self._cut(part, 0)
        self.completed(part)
        return rest

    def _cut(self, part: Part, keep: int) -> Part:
        """The part keeps so many [bytes] of those still to come. It may pass the budget, as a part that the reader needs may."""
        assert part.stop is not None
        middle = part.start + part.received + keep
        rest = Part(part.run, middle, part.stop, part.stop - middle)
        if part.buffer is None:
            self.budget.release(part, min(part.reserved, rest.reserved))
        part.stop = middle
        part.run.parts.insert(part.run.parts.index(part) + 1, rest)
        self.budget.count_in(rest)
        return rest

    # -- what the tasks report ------------------------------------------------------------------------------------

    def answered(self, part: Part, answer: Answer) -> None:
        """The first answer of a shard tells its size and whether it has ranges. Those of later parts change nothing of that."""
        run = part.run
        part.answered = True
        if run.state is not ShardState.PROBING:
            if answer.checksum != run.checksum:  # it is that of a range, or not always there
                run.checksum = None
            return
        run.total, run.identity, run.path, run.checksum = answer.total, answer.identity, answer.path, answer.checksum
        if not answer.ranged:
            run.state, run.next_start, part.stop = ShardState.STREAMED, None, None
            return
        run.state = ShardState.RANGED
        self._usual = run.total or 0
        bound = run.bound
        if bound is not None and part.stop is not None and part.stop >= bound:
            if part.buffer is None:
                self.budget.release(part, part.stop - bound)
            part.stop, run.next_start = bound, None
        if run.startable:
            insort(self._todo, run, key=attrgetter("sequence"))

    def received(self, part: Part, chunk: Chunk) -> None:
        if part.state is PartState.FETCHING:
            part.chunks.append(chunk)
            part.received += len(chunk)
            part.buffered += len(chunk)

    def completed(self, part: Part) -> None:
        if part.state is PartState.FETCHING:
            part.state = PartState.COMPLETE

    def failed(self, part: Part, error: WdsError) -> None:
        if part.state is PartState.FETCHING:
            part.state = PartState.FAILED
            part.error = error

    def released(self, part: Part) -> None:
        """A part's task has ended, and with it the use of its connection. Until then it may write to its buffer."""
        self.budget.in_flight -= 1
        part.in_flight = False
        if part.state in (PartState.READ, PartState.DROPPED):
            self.budget.recycle_buffer(part)

    # -- what the reader takes ------------------------------------------------------------------------------------

    def take(self, run: ShardRun) -> Chunk | None:
        """The next chunk of a shard; None if it has not come (or there is an error or the end: ask `failure`, `at_end`).

        One that is a memoryview is good until `recycle`.
        """
        self._skip_read_parts(run)
        if not run.parts or not run.parts[0].chunks:
            return None
        part = run.parts[0]
        chunk = next_chunk(part)
        part.buffered -= len(chunk)
        if part.stop is not None and part.buffer is None:
            self.budget.release(part, min(len(chunk), part.reserved))
        return chunk

    def recycle(self, run: ShardRun) -> None:
        """Nobody refers any more to the buffers of parts that are read."""
        for part in run.used:
            part.state = PartState.READ
            self.budget.release(part, part.reserved)
            self.budget.recycle_buffer(part)
        run.used.clear()

    def failure(self, run: ShardRun) -> WdsError | None:
        """The error that stands where the next byte should be."""
        self._skip_read_parts(run)
        return run.parts[0].error if run.parts and not run.parts[0].chunks else None

    def at_end(self, run: ShardRun) -> bool:
        """Every byte of the shard has been taken."""
        self._skip_read_parts(run)
        return not run.parts and run.state in (ShardState.RANGED, ShardState.STREAMED) and not run.startable

    def _skip_read_parts(self, run: ShardRun) -> None:
        while run.parts and run.parts[0].state is PartState.COMPLETE and not run.parts[0].chunks:
            part = run.parts.popleft()
            self.budget.held -= 1
            if part.buffer is None:
                self.budget.release(part, part.reserved)
            else:
                run.used.append(part)

    def end(self, run: ShardRun) -> list[Part]:
        """Takes a shard out, read or given up. Returns its parts still in flight, whose tasks the caller must cancel."""
        in_flight = [part for part in run.parts if part.state is PartState.FETCHING]
        for part in run.parts:
            self.budget.release(part, part.reserved)
            part.chunks.clear()
            part.state = PartState.DROPPED
            self.budget.recycle_buffer(part)
        self.budget.held -= len(run.parts)
        run.parts.clear()
        self.recycle(run)
        run.state = ShardState.ENDED
        if run in self._todo:
            self._todo.remove(run)
        self.rotation.remove(run)
        return in_flight
