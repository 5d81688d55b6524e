"""What the parts in flight take, and what they may take: bytes and connections; and the memory of the bytes."""

from __future__ import annotations

import mmap
import sys
from functools import cache

from asyncwds.engine.parts import Part
from asyncwds.runtime.units import MiB

LEAST_SHARE = 4  # a quarter of the bytes is for parts in flight, however much the samples hold
_LOT = 4 * MiB  # [bytes]


class Budget:
    """Connections, and `nbytes` that parts in flight and samples share; `window` of what samples hold counts elsewhere.

    `connections` and `ahead` may be changed at any time; parts already in flight run on.
    """

    def __init__(self, nbytes: int, window: int, connections: int, part_bytes: int) -> None:
        self.nbytes = nbytes
        self.connections = connections
        self.ahead = sys.maxsize  # parts that may be started and not read, beside those that fill all connections
        self.in_flight = 0
        self.reserved = 0  # bytes
        self.outside = 0  # bytes that samples hold, complete or not
        self.held = 0  # parts started and not read to their end
        self.paused = 0  # streams in flight that wait for the reader
        self._window = window
        self._buffers = Buffers(part_bytes, nbytes // part_bytes)

    @property
    def allowed(self) -> int:
        """Bytes that may be reserved: all, less what samples hold beyond the window, but a quarter in any case.

        Samples that take more than the buffer would leave one connection at work otherwise.
        """
        return max(self.nbytes // LEAST_SHARE, self.nbytes - max(0, self.outside - self._window))

    @property
    def pressed(self) -> bool:
        """Whether samples hold so much that no further one should be begun."""
        return self.outside - self._window >= self.nbytes - self.nbytes // LEAST_SHARE

    @property
    def resting(self) -> bool:
        """Whether connections have nothing to do because enough has been read ahead."""
        return self.in_flight < self.connections and self.held >= self.connections + self.ahead

    @property
    def has_connection(self) -> bool:
        return self.in_flight < self.connections and self.held < self.connections + self.ahead

    def has_room(self, size: int) -> bool:
        return self.reserved + size <= self.allowed

    def count_in(self, part: Part) -> None:
        self.reserved += part.reserved
        self.held += 1
        self.in_flight += 1

    def release(self, part: Part, size: int) -> None:
        part.reserved -= size
        self.reserved -= size

    # -- the memory of parts --------------------------------------------------------------------------------------

    def lend_buffer(self, part: Part, expected: int, size: int) -> None:
        """Gives the part a buffer of this size [bytes], if it is worth one and there is one. `expected` [bytes] will come.

        A buffer is as large as parts can be, and takes as much of the budget: too much for a small part.
        """
        self._buffers.resize(size, self.nbytes)
        if part.stop is None or not self.has_room(size) or part.stop - part.start > size or expected * 2 <= size:
            return
        if buffer := self._buffers.lend():
            part.buffer, part.reserved = buffer, size

    def recycle_buffer(self, part: Part) -> None:
        """Lends the part's buffer again, unless its task may still write to it."""
        if part.buffer is not None and not part.in_flight:
            self._buffers.give_back(part.buffer)
            part.buffer = None

    def free_spare_buffers(self) -> None:
        self._buffers.shrink(self.allowed - self.reserved)


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


@cache
def _keep_freed_memory() -> None:
    """Has the C library keep the memory of samples that were freed, for those that come next.

    glibc gives what is free at the end of its heap back to the system once that is more than 128 KiB, so that every lot of samples
    would be made in fresh pages. It goes by the sizes that a program frees (mallopt(3), M_MMAP_THRESHOLD): after one of 4 MiB it
    keeps 8 MiB. Over loopback, 110 KB samples: 0.80 in place of 0.86 CPU-s/GB (medians of 5). Elsewhere it does nothing. Once in a
    process is enough, and takes 0.8 ms.
    """
    bytes(_LOT)
