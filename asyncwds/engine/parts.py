"""What is read of a shard, and how far that is: `ShardRun` and `Part`, changed by the scheduler alone; and the memory of parts."""

from __future__ import annotations

import mmap
from collections import deque
from dataclasses import dataclass, field
from enum import Enum

from asyncwds.errors import WdsError
from asyncwds.runtime.units import MiB
from asyncwds.shards.shard import Shard
from asyncwds.storage.base import Chunk

# [bytes] taken of a part's buffer at once, and handed to the consumer. The more where a piece that came at once is as large as
# `STEP`: the link is fast, and rounds are what it waits for (`direct_receive` has figures). With 4 MiB over slower links
# 1.5 % are lost.
STEP = MiB
FAST_STEP = 4 * MiB  # 12 ms of work with the smallest samples there can be

_LOT = 4 * MiB  # [bytes]


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


class Buffers:
    """Buffers of `size` [bytes], at most `most` of them lent at a time, each used again once it is given back.

    Fresh memory for every part costs more CPU time than copying into it: the system zeroes each page that is touched
    first (2.5 µs for 4 KiB on a virtual machine: 0.6 CPU-s/GB). So these are used again. They are not made of huge pages: a
    guest may have given memory in blocks of that size back to its host, and gets it again at 9 ms for 2 MiB; 0.10
    CPU-s/GB of a download of 8 GB went into that.
    """

    def __init__(self, size: int, most: int) -> None:
        self.size = size
        self._most = most
        self._free: list[mmap.mmap] = []
        self._lent = 0
        _keep_freed_memory()

    def lend(self) -> mmap.mmap | None:
        """A buffer with anything in it; None if all are lent, or the system gives no more."""
        if not self._free and self._lent >= self._most:
            return None
        try:
            buffer = self._free.pop() if self._free else self._make()
        except OSError:
            return None
        self._lent += 1
        return buffer

    def give_back(self, buffer: mmap.mmap) -> None:
        self._lent -= 1
        if len(buffer) == self.size:
            self._free.append(buffer)

    def resize(self, size: int, budget: int) -> None:
        """From now on buffers have another size [bytes]; those of the old one go when they are given back."""
        if size != self.size:
            self._free.clear()
            self.size, self._most = size, budget // size

    def shrink(self, spare: int) -> None:
        """Frees unused buffers that are more than `spare` [bytes] of the budget can hold."""
        while self._free and len(self._free) * self.size > spare:
            # Not closed: a view of it may be waiting to be collected. The memory goes with the last reference.
            self._free.pop()

    def _make(self) -> mmap.mmap:
        return mmap.mmap(-1, self.size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


def _keep_freed_memory() -> None:
    """Has the C library keep the memory of samples that were freed, for those that come next.

    glibc gives what is free at the end of its heap back to the system once that is more than 128 KiB, so that every lot of samples
    would be made in fresh pages. It goes by the sizes that a program frees (mallopt(3), M_MMAP_THRESHOLD): after one of 4 MiB it
    keeps 8 MiB. Over loopback, 110 KB samples: 0.80 in place of 0.86 CPU-s/GB (medians of 5). Elsewhere it does nothing.
    """
    bytes(_LOT)
