"""The slots of a process that makes batches. One at a time is lent to the pipeline: batches are made where they are handed over."""

from __future__ import annotations

import ctypes
import mmap
import os
import threading
from collections import deque
from collections.abc import Callable
from typing import Any
from weakref import finalize

from asyncwds.errors import SharedMemoryError
from asyncwds.parallel.packing import Packed, Place, aligned
from asyncwds.parallel.segments import Ring, capacity_for, check_room, create_segment
from asyncwds.runtime.worker_info import FORKS


class Segment:
    """The memory of a slot here, and what of it the pipeline has."""

    def __init__(self, number: int, descriptor: int, mapping: mmap.mmap) -> None:
        self.number = number
        self.unsent: int | None = descriptor  # until the other side has been given it
        self.used = 0  # [bytes] that have been lent for the batch that is being made
        self.views = 0  # loans that something in the pipeline still refers to
        self._mapping = mapping
        self._bytes = ctypes.c_ubyte * len(mapping)

    def __len__(self) -> int:
        return len(self._mapping)

    def loan(self) -> Any:
        """An object of its own, which is kept by all views of the memory that are made of it."""
        return self._bytes.from_buffer(self._mapping)

    def block(self) -> Any:
        import numpy as np  # noqa: PLC0415 - heavy

        return np.frombuffer(self._mapping, np.uint8)

    def close_unsent(self) -> None:
        if self.unsent is not None:
            os.close(self.unsent)
            self.unsent = None


class LendingSlots:
    """A slot is free, or lent for the batch that is being made, or with the consumer, or given back while the pipeline still
    refers to its batch.

    All methods are for one thread, that of the pipeline; in others, and in processes forked from this one, nothing is lent.
    """

    def __init__(self, ring: Ring, obey: Callable[[], bool]) -> None:
        """`obey` does what the consumer wants, if that is something, and says whether it was."""
        self._ring = ring
        self._obey = obey
        self._free = list(range(ring.slots))[::-1]  # the one that was used last comes next: so few are ever made
        self.segments: dict[int, Segment] = {}
        self._lent: Segment | None = None
        self._given_back: list[Segment] = []
        self._dropped: deque[Segment] = deque()  # of each loan that nothing refers to any more; any thread may find that
        self._largest = 0  # [bytes] of a batch so far; before the first one nothing is lent
        self._lends = True
        self._owner = (threading.get_ident(), FORKS.number)

    def give_back(self, number: int) -> None:
        """The consumer does not need the slot any more."""
        self._look()
        segment = self.segments[number]
        if segment.views:
            self._given_back.append(segment)
        else:
            self._free.append(number)

    def lend(self, nbytes: int) -> Any:
        """An array of so many bytes, of the slot that the next batch is to be in; None if there is no room, or no slot."""
        import numpy as np  # noqa: PLC0415 - heavy

        if not self._lends or (threading.get_ident(), FORKS.number) != self._owner:
            return None
        self._look()
        segment = self._lent or self._next_to_lend()
        if segment is None or segment.used + nbytes > len(segment):
            return None
        loan = segment.loan()
        finalize(loan, self._dropped.append, segment).atexit = False
        segment.views += 1
        begin, segment.used = segment.used, segment.used + aligned(nbytes)
        return np.frombuffer(loan, np.uint8, nbytes, begin)

    def fill(self, packed: Packed, wait: Callable[[], None]) -> tuple[Segment, list[Place]]:
        """The slot with the batch, and where in it that is. `wait` waits for what the consumer wants, and does it."""
        self._largest = max(self._largest, packed.nbytes)
        lent = self._lent
        if lent is not None and (there := packed.parts_in(lent.block()[: lent.used])):
            self._lent = None
            if packed.end(there, lent.used) <= len(lent):
                return lent, packed.copy_to(lent.block(), there, lent.used)
            self._given_back.append(lent)
        segment = self._segment(self._free_number(wait), packed.nbytes)
        return segment, packed.copy_to(segment.block())

    def _next_to_lend(self) -> Segment | None:
        while self._obey():
            pass
        if not self._free or not self._largest:
            return None
        number = self._free.pop()
        try:
            self._lent = self._segment(number, self._largest)
        except SharedMemoryError:  # raised by `fill`, where no handler of a stage is asked about it
            self._free.append(number)
        return self._lent

    def _free_number(self, wait: Callable[[], None]) -> int:
        while True:
            self._look()
            if self._free:
                return self._free.pop()
            if self._given_back:
                return self._abandoned()
            wait()  # what frees one is under way

    def _abandoned(self) -> int:
        """The number of a slot whose batch the pipeline keeps: the memory is its own from here on. Nor is it lent any more then."""
        self._lends = False
        segment = self._given_back.pop(0)
        del self.segments[segment.number]
        segment.close_unsent()
        return segment.number

    def _look(self) -> None:
        """What was dropped since."""
        while self._dropped:
            segment = self._dropped.popleft()
            segment.views -= 1
            if segment.views:
                continue
            if segment is self._lent:
                self._lent = None
            elif segment in self._given_back:
                self._given_back.remove(segment)
            else:
                continue  # the consumer has it
            self._free.append(segment.number)

    def _segment(self, number: int, nbytes: int) -> Segment:
        """Of a free slot, to be written from its beginning on."""
        segment = self.segments.get(number)
        if segment is None or len(segment) < nbytes:
            segment = self.segments[number] = self._created(number, capacity_for(nbytes))
        segment.used = 0
        return segment

    def _created(self, number: int, nbytes: int) -> Segment:
        if not self.segments:
            check_room(nbytes, self._ring)
        if (old := self.segments.pop(number, None)) is not None:
            old.close_unsent()
        return Segment(number, *create_segment(nbytes, self._ring))
