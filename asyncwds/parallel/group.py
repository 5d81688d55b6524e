"""The processes of a loader, and one iteration at a time over what they make."""

from __future__ import annotations

import os
import select
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from time import perf_counter
from typing import Any

from asyncwds.bridges.loop_thread import OTHER_PROCESS
from asyncwds.errors import BridgeError
from asyncwds.parallel import failures
from asyncwds.parallel.child import Job
from asyncwds.parallel.messages import Batch, End, ring_size
from asyncwds.parallel.progress import LoaderProgress
from asyncwds.parallel.segments import Ring
from asyncwds.parallel.slots import find_pages
from asyncwds.parallel.worker import Worker, end_workers, start_worker
from asyncwds.runtime.recorder import CONSUMER
from asyncwds.runtime.state_changes import State
from asyncwds.runtime.tracing import recorder_for

LOOK = 100  # [ms] between two looks of a consumer who waits whether it was interrupted


@dataclass(frozen=True)
class GroupSettings:
    """As `loader` takes them."""

    processes: int = 1
    prefetch: int = 2
    start_method: str = "spawn"
    in_order: bool = True
    persistent_workers: bool = True
    pin_memory: bool | None = None
    shared_memory: str | None = None
    worker_init_fn: Callable[[int], Any] | None = None


class Group:
    """Processes that have been started. To be closed by the process that made them.

    `states` are those that their first iterations go on from; None begins.
    """

    def __init__(
        self, dataset: Iterable[Any], settings: GroupSettings, states: Sequence[State | None] = (), *, strict: bool = True
    ) -> None:
        self._pid = os.getpid()
        self._in_order = settings.in_order
        self._run = 0
        self._workers: list[Worker] = []
        ring = Ring(settings.shared_memory, ring_size(settings.prefetch), settings.processes)
        context, pages = get_context(settings.start_method), find_pages(settings.pin_memory)
        try:
            for worker in range(settings.processes):
                own = (dataset, worker, settings.processes, settings.prefetch, ring, settings.worker_init_fn)
                self._workers.append(start_worker(context, Job(*own, states, strict), self._workers, pages))
        except BaseException:
            self.close()
            raise

    @property
    def is_here(self) -> bool:
        """Whether this is the process that started them."""
        return self._pid == os.getpid()

    @property
    def is_whole(self) -> bool:
        """Whether all of the processes are there."""
        return bool(self._workers) and all(worker.process.exitcode is None for worker in self._workers)

    def begin(self, progress: LoaderProgress) -> GroupIteration:
        """Ends the iteration before."""
        self._run += 1
        for worker in self._workers:
            worker.begin(self._run)
        # All batches need it, and this process has nothing to do before the first one is there.
        import numpy  # noqa: ICN001, F401, PLC0415 - heavy

        last = [worker for worker in range(len(self._workers)) if worker not in progress.order]
        active = deque([self._workers[worker] for worker in [*progress.order, *last]])
        progress.order += last
        return GroupIteration(self, self._run, active, self._in_order, progress)

    def require_current(self, run: int) -> None:
        if not self.is_here:
            raise BridgeError(OTHER_PROCESS)
        if run != self._run or not self._workers:
            raise BridgeError("the loader was closed, or another iteration over it has begun: it has one at a time")

    def stop(self, run: int) -> None:
        """Makes the processes rest, if they work on that iteration."""
        if self.is_here and run == self._run:
            for worker in self._workers:
                worker.stop()

    def close(self) -> None:
        if self.is_here:
            workers, self._workers = self._workers, []
            end_workers(workers)


class GroupIteration:
    """The batches of one iteration: from the processes in turn, or as they come."""

    def __init__(self, group: Group, run: int, active: deque[Worker], in_order: bool, progress: LoaderProgress) -> None:
        self._group = group
        self._run = run
        self._active = active
        self._in_order = in_order
        self._progress = progress
        self._interrupted = False
        self._poll = select.poll()  # kept, since to make one for each batch takes longer than to ask it
        for worker in active:
            self._poll.register(worker.process.sentinel, select.POLLIN)
        self._trace = recorder_for("loader")

    def interrupt(self) -> None:
        """From another thread: a `next` that waits raises BridgeError."""
        self._interrupted = True

    def batches(self, at_end: Callable[[], None]) -> Generator[Any, None, None]:
        """`at_end` is called after the last one, after an error, and when nobody wants more."""
        try:
            while self._active:
                worker, message = self._next_message()
                self._active.remove(worker)
                if isinstance(message, Batch):
                    self._active.append(worker)
                    yield self._take(worker, message)
                    continue
                self._poll.unregister(worker.process.sentinel)  # it may end now
                if message.failure is not None:
                    raise failures.unpickled(message.failure)
                self._progress.note(worker.number, message.change, is_item=False)
        finally:
            self._group.stop(self._run)
            at_end()

    def _take(self, worker: Worker, message: Batch) -> Any:
        item, change = worker.take(message)
        self._progress.note(worker.number, change, is_item=True)
        return item

    def _next_message(self) -> tuple[Worker, Batch | End]:
        while True:
            began = perf_counter()
            worker = self._wait()
            message = worker.receive(self._run)
            if self._trace is not None:
                self._trace.span(CONSUMER, f"wait for {worker.process.name}", began, perf_counter())
            if message is not None:
                return worker, message

    def _wait(self) -> Worker:
        """The process whose turn it is, when it has a message. Raises WorkerDiedError if any of them has ended."""
        asked = [self._active[0]] if self._in_order else list(self._active)
        while True:
            self._group.require_current(self._run)
            if self._interrupted:
                raise BridgeError("the iteration was closed while it waited")
            ready = self._ready(asked)
            for worker in self._active:
                if worker.process.sentinel in ready:
                    raise worker.death()
            for worker in asked:
                if worker.messages.fileno() in ready:
                    return worker

    def _ready(self, asked: list[Worker]) -> set[int]:
        """Descriptors of processes that have ended, and of those asked that have a message."""
        descriptors = [worker.messages.fileno() for worker in asked]
        for descriptor in descriptors:
            self._poll.register(descriptor, select.POLLIN)
        try:
            return {descriptor for descriptor, _ in self._poll.poll(LOOK)}
        finally:
            for descriptor in descriptors:
                self._poll.unregister(descriptor)
