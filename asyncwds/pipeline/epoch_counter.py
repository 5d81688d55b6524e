"""Counts a dataset's iterations, also where they run in the workers of a loader, and keeps slots for what those report.

A loader iterates over a dataset in its workers only, so the copy in the process that made the loader would never move:
workers that are started anew for each epoch would all read epoch 0, and `set_epoch` would not reach workers that stay.
So the counts stand in memory that a process shares with its children. Each worker counts for itself, at a place of its
own for each number of workers: no two processes write to one, and loaders of different sizes don't disturb each other.
"""

from __future__ import annotations

import mmap
import multiprocessing
import os
import tempfile
import weakref
from dataclasses import replace
from multiprocessing.context import get_spawning_popen
from typing import Any

from asyncwds.pipeline.worker_stats import REPORT_BYTES, SLOT_BYTES
from asyncwds.runtime.worker_info import WorkerInfo, current_worker_info, in_worker

WORKERS = 128
"""The largest number of workers that share counts; with more, those started anew begin at their parent's epoch."""
_CELLS = 1 + WORKERS * (WORKERS + 1) // 2  # the owner's epoch, then the counts of 1 worker, of 2, … of `WORKERS`
_REPORTING = _CELLS  # one more: how many slots workers have been given
_CELL_BYTES = 8 * (_CELLS + 1)
# The system provides those of its pages that are written to.
_BYTES = _CELL_BYTES + WORKERS * (SLOT_BYTES + REPORT_BYTES)


class _Memory:
    """What a process, the owner, shares with its children; and where a spawned child's parent stands."""

    def __init__(self, memory: mmap.mmap, owner: int, parents_place: WorkerInfo | None = None) -> None:
        self.cells = memoryview(memory)[:_CELL_BYTES].cast("q")
        self._slots = memoryview(memory)[_CELL_BYTES:]
        self.owner = owner
        self.parents_place = parents_place

    def slot(self, worker: int) -> memoryview:
        return self._slots[worker * SLOT_BYTES : (worker + 1) * SLOT_BYTES]

    def report_slot(self, worker: int) -> memoryview:
        begin = WORKERS * SLOT_BYTES + worker * REPORT_BYTES
        return self._slots[begin : begin + REPORT_BYTES]

    def is_parents(self) -> bool:
        parent = multiprocessing.parent_process()
        return parent is not None and parent.pid == self.owner


def _anonymous(epoch: int) -> _Memory:
    # It passes to forked children by itself, and costs no descriptor.
    memory = _Memory(mmap.mmap(-1, _BYTES), os.getpid())
    memory.cells[0] = epoch
    return memory


class EpochCounter:
    """The number of the next iteration. A pickle keeps it; a process that is being started shares it."""

    def __init__(self, epoch: int = 0, inherited: _Memory | None = None) -> None:
        self._own = _anonymous(epoch)
        self._inherited = inherited
        self._descriptor: int | None = None  # of the memory, once a spawned process has needed one

    def begin(self) -> tuple[int, WorkerInfo]:
        """The epoch that begins now, and the place here."""
        place = current_worker_info()
        memory, cell = self._cell(place)
        cells = memory.cells
        epoch = cells[0] + (cells[cell] if cell else 0)
        cells[cell] += 1
        if memory.parents_place is not None and place.world_size == 1:
            # A worker that was spawned belongs to no process group, and no launcher has set its variables.
            place = replace(place, rank=memory.parents_place.rank, world_size=memory.parents_place.world_size)
        return epoch, place

    def upcoming(self, workers: int = 0) -> int:
        """The epoch that would begin now: here, or in `workers` workers of this process."""
        memory, cell = self._cell(current_worker_info())
        if not cell and 0 < workers <= WORKERS:
            cell = 1 + workers * (workers - 1) // 2
        return memory.cells[0] + (memory.cells[cell] if cell else 0)

    def set(self, epoch: int) -> None:
        """For this process and its workers; in a worker for that one."""
        memory, cell = self._cell(current_worker_info())
        cells = memory.cells
        if cell:
            cells[cell] = epoch - cells[0]
        else:
            cells[1:_CELLS] = memoryview(bytes(8 * (_CELLS - 1))).cast("q")
            cells[0] = epoch

    def copy(self) -> EpochCounter:
        return EpochCounter(self._own.cells[0])

    def slot(self, place: WorkerInfo) -> tuple[memoryview, memoryview] | None:
        """Where this process puts its stats and its report if it is a worker; None if nobody asks."""
        memory, cell = self._cell(place)
        if not cell:
            return None
        memory.cells[_REPORTING] = max(memory.cells[_REPORTING], place.num_workers)
        return memory.slot(place.worker), memory.report_slot(place.worker)

    def slots(self) -> list[tuple[memoryview, memoryview]]:
        """Where this process finds what its workers report."""
        memory, cell = self._cell(current_worker_info())
        # No more than that: memory is taken up by reading it.
        return [] if cell else [(memory.slot(worker), memory.report_slot(worker)) for worker in range(memory.cells[_REPORTING])]

    def _cell(self, place: WorkerInfo) -> tuple[_Memory, int]:
        forked = self._own.owner != os.getpid()
        memory = self._own if forked else self._inherited
        if memory is not None and in_worker() and memory.is_parents() and place.num_workers <= WORKERS:
            return memory, 1 + place.num_workers * (place.num_workers - 1) // 2 + place.worker
        if forked:  # a rank, say: it counts for itself and its own workers from here on
            self._own, self._descriptor = _anonymous(self._own.cells[0]), None
        return self._own, 0

    def __reduce__(self) -> tuple[Any, ...]:
        if get_spawning_popen() is None:
            return EpochCounter, (self._own.cells[0],)
        from multiprocessing.reduction import DupFd  # noqa: PLC0415 - only where processes are spawned

        if self._descriptor is None:
            self._descriptor = self._moved_to_file()
        return _attached, (DupFd(self._descriptor), self._own.owner, current_worker_info())

    def _moved_to_file(self) -> int:
        with tempfile.TemporaryFile() as file:
            file.write(self._own.cells)
            # A file with holes would kill a worker that finds no room for its report.
            if hasattr(os, "posix_fallocate"):
                file.flush()
                os.posix_fallocate(file.fileno(), 0, _BYTES)
            else:
                file.write(bytes(_BYTES - _CELL_BYTES))
            descriptor = os.dup(file.fileno())
        weakref.finalize(self, os.close, descriptor)
        self._own = _Memory(mmap.mmap(descriptor, _BYTES), self._own.owner)
        return descriptor


def _attached(duplicate: Any, owner: int, place: WorkerInfo) -> EpochCounter:
    descriptor = duplicate.detach()
    try:
        memory = _Memory(mmap.mmap(descriptor, _BYTES), owner, place)
    finally:
        os.close(descriptor)
    return EpochCounter(memory.cells[0], memory)
