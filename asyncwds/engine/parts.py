"""What is read of a shard, and how far that is: `ShardRun` and `Part`, changed by the scheduler alone; and parts in a trace, with
how much of what there is meanwhile.
"""

from __future__ import annotations

import mmap
from collections import deque
from dataclasses import dataclass, field
from enum import Enum
from time import perf_counter
from typing import TYPE_CHECKING

from asyncwds.errors import WdsError, redact
from asyncwds.runtime.counters import Counters
from asyncwds.runtime.recorder import READER, Recorder, Span
from asyncwds.runtime.units import MiB
from asyncwds.shards.shard import Shard
from asyncwds.storage.base import Chunk

if TYPE_CHECKING:
    from asyncwds.engine.budget import Budget

# [bytes] taken of a part's buffer at once, and handed to the consumer. The more where a piece that came at once is as large as
# `STEP`: the link is fast, and rounds are what it waits for (`storage.http.receive` has figures). With 4 MiB over slower links
# 1.5 % are lost.
STEP = MiB
FAST_STEP = 4 * MiB  # 12 ms of work with the smallest samples there can be


class PartState(Enum):
    FETCHING = "in flight"
    COMPLETE = "all its bytes have come"
    READ = "all of them are read, and nobody refers to them"
    FAILED = "its error waits to be read"
    DROPPED = "given up before it was read"


class ShardState(Enum):
    WAITING = "nothing asked for"
    PROBING = "first part in flight, size unknown"
    RANGED = "read in parts"
    STREAMED = "no ranges, read as one stream"
    ENDED = "read to its end, or given up"


@dataclass(slots=True, eq=False)
class Part:
    """Bytes [start, stop) of a shard; `stop` is None for a stream. `reserved` [bytes] of the budget are held for it.

    With a `buffer` it holds them until all its bytes are read, and else as many as are still to be read.
    """

    run: ShardRun
    start: int
    stop: int | None
    reserved: int
    state: PartState = PartState.FETCHING
    in_flight: bool = True  # its task has not ended
    buffer: mmap.mmap | None = None  # where its bytes may be
    chunks: deque[Chunk] = field(default_factory=deque)
    received: int = 0
    answered: bool = False
    buffered: int = 0
    taken: int = 0
    error: WdsError | None = None

    @property
    def missing(self) -> int | None:
        """Bytes of a part in flight still to come; None where that is unknown, or no question any more."""
        if self.state is not PartState.FETCHING or self.stop is None or self.run.total is None:
            return None
        return self.stop - self.start - self.received

    @property
    def full(self) -> bool:
        """A stream with as many bytes waiting as it has reserved; its task pauses. Parts of known size never do."""
        return self.stop is None and self.state is PartState.FETCHING and self.buffered >= self.reserved


@dataclass(slots=True, eq=False)
class ShardRun:
    """One shard on its way through the engine; `sequence` is its position in this epoch's plan."""

    shard: Shard
    sequence: int
    state: ShardState = ShardState.WAITING
    total: int | None = None
    identity: str | None = None
    path: str | None = None  # of a cached copy
    checksum: str | None = None  # of the whole, as long as all answers agree about it
    next_start: int | None = 0  # first byte of which no part has been started; None if all have
    first: tuple[int, int] = (0, 0)  # ordinal and offset of the first sample that is read
    wanted: int = 0  # ordinal of the first one that is given out
    end: int | None = None  # byte before which what is wanted ends, where that is known
    seekable: bool = True  # its next sample can be read without those before it, as far as is known
    parts: deque[Part] = field(default_factory=deque)  # started and not read to their end, in order

    @property
    def ahead(self) -> int:
        """Bytes that come before the next part and are not read."""
        return self.next_start - self.parts[0].start - self.parts[0].taken if self.parts and self.next_start is not None else 0

    used: list[Part] = field(default_factory=list)  # read to their end, with a buffer to recycle

    @property
    def bound(self) -> int | None:
        """The byte before which reading ends, as far as is known."""
        known = [stop for stop in (self.end, self.total) if stop is not None]
        return min(known, default=None)

    @property
    def whole(self) -> bool:
        """Whether it is read from its beginning to its end."""
        return not self.first[1] and (self.shard.limit is None or self.shard.limit.to_end)

    @property
    def startable(self) -> bool:
        return self.state in (ShardState.WAITING, ShardState.RANGED) and self.next_start is not None


def run_of(shard: Shard, sequence: int) -> ShardRun:
    """Of a shard from where it begins."""
    run = ShardRun(shard, sequence)
    if shard.begin is not None:
        wanted, ordinal, offset, identity = shard.begin
        run.first, run.wanted, run.next_start, run.identity = (ordinal, offset), wanted, offset, identity
    if shard.limit is not None:
        run.end = shard.limit.end
    return run


def next_chunk(part: Part) -> Chunk:
    """The first chunk, together with those that follow it in the part's buffer: few large ones cost the reader less."""
    chunk = part.chunks.popleft()
    size = len(chunk)
    if part.buffer is not None and isinstance(chunk, memoryview):
        most = STEP if size < STEP else FAST_STEP
        while part.chunks and isinstance(part.chunks[0], memoryview) and size + len(part.chunks[0]) <= most:
            size += len(part.chunks.popleft())
        chunk = memoryview(part.buffer)[part.taken : part.taken + size]
    part.taken += size
    return chunk


MEASURED_EVERY = 0.005  # [s]


class PartTrace:
    """Told by `Downloader` what becomes of parts."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._spans: dict[Part, Span] = {}
        self._measured = 0.0

    def start(self, part: Part) -> None:
        shard = part.run.shard
        name = f"shard {shard.index} from {part.start}"
        self._spans[part] = self._recorder.begin("part", name, url=redact(shard.url), start=part.start, stop=part.stop)

    def answer(self, part: Part) -> None:
        span = self._spans[part]
        span.inner("first byte", span.began)

    def help(self, part: Part, action: str) -> None:
        """A late part."""
        self._recorder.mark(READER, action, url=redact(part.run.shard.url), start=part.start, received=part.received)

    def finish(self, part: Part) -> None:
        span = self._spans.pop(part)
        span.args |= {"received": part.received, "state": part.state.name.lower()}
        span.end()

    def measure(self, counters: Counters, budget: Budget) -> None:
        if (now := perf_counter()) - self._measured < MEASURED_EVERY:
            return
        self._measured = now
        record = self._recorder.measure
        record("connections", allowed=budget.connections, in_flight=budget.in_flight, resting=int(budget.resting))
        record("bytes", reserved=budget.reserved, allowed=budget.allowed, samples=counters.given - counters.taken)
