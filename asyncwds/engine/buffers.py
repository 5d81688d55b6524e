"""Memory for parts, used again and again."""

from __future__ import annotations

import mmap

from asyncwds.runtime.units import MiB

_LOT = 4 * MiB  # [bytes]


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
