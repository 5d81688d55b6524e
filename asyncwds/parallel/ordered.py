"""Calls a function for items ahead of the consumer, several at once, and gives the outcomes in the order of the items.

    consumer's thread                                     workers
    source ─► task of some milliseconds  ─► todo ──────► function(entry), one after the other
    next()  ◄─ oldest task, once it is done ◄── done ◄──┘

The consumer takes from the source itself, as without workers: sources are nobody else's. It hands over tasks while fewer than
two per worker are under way, and items and bytes in flight are within bounds; what is done goes before a source that is slow.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from time import perf_counter
from typing import Any, Literal, Protocol
from weakref import finalize

from asyncwds.errors import BridgeError
from asyncwds.parallel.sizing import HELD_SECONDS, MOST_IN_TASK, WorkerTuner, group_size
from asyncwds.runtime.counters import MovingAverage


class Failure:
    """What a call raised, in place of its result."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error


class Task:
    """Entries to be worked on one after the other and, once it is done, the outcome of each.

    `nbytes` [bytes] are those of the entries and of the outcomes, which are `expected` until they are known: `result_bytes`.
    """

    __slots__ = ("done", "entries", "expected", "items", "nbytes", "outcomes", "result_bytes", "seconds")

    def __init__(self, entries: deque[Any], nbytes: int = 0, expected: int = 0) -> None:
        self.entries = entries
        self.items = len(entries)
        self.outcomes: deque[Any] = deque()
        self.nbytes = nbytes
        self.expected = expected
        self.result_bytes = 0
        self.seconds = 0.0
        self.done = False


class Workers(Protocol):
    """Who works on tasks. They put each into `done` when it is; None, or what ended them, if there will be no more."""

    done: SimpleQueue[Task | BaseException | None]

    def start_for(self, owner: object, number: int) -> finalize[..., Any]:
        """Starts so many. They hold no reference to the owner; they stop, and are waited for, once by the result or when it is
        dropped.
        """

    def resize(self, number: int) -> None: ...
    def submit(self, task: Task) -> None: ...
    def stop(self) -> None:
        """Drops what has not begun, and wakes the consumer. From any thread."""


Function = Callable[[Any], Any]
TaskTrace = Callable[[int, float, Task], None]
"""Told by a worker, of which there is one of that number at a time, that it has done a task, and when it began [s]."""


BYTES_AHEAD = 128 << 20  # [bytes] of items and results in flight; a single one may be larger
ITEMS_AHEAD = 16  # per worker, or else four tasks
TASKS_AHEAD = 4  # per worker
UNDER_WAY = 2  # tasks per worker: with one, it would wait for the consumer to hand over the next


class OrderedCalls:
    """Iterates over the tasks that the entries of a source make, once they are done. Whoever iterates takes entries and outcomes
    out of each. `measure` tells the [bytes] of an entry.

    `number` of workers is given, or found: at most `most`; `resized` is told, and why. Errors of the source come behind the entries
    before them. Raises BridgeError where it was interrupted.
    """

    def __init__(  # noqa: PLR0917 - what it is made of
        self,
        workers: Workers,
        source: Iterator[Any],
        measure: Callable[[Any], int],
        number: int | Literal["auto"],
        most: int,
        resized: Callable[[int, str], None],
        most_in_task: int = MOST_IN_TASK,
    ) -> None:
        self._workers = workers
        self._source = source
        self._measure = measure
        self._tuner = WorkerTuner(most) if number == "auto" else None
        self._number = 1 if number == "auto" else number
        self._resized = resized
        self._most_in_task = most_in_task
        self._current = Task(deque())
        self._pending: deque[Task] = deque()
        self._end: BaseException | None = None
        self._under_way = 0  # tasks
        self._items = self._bytes = 0  # in flight
        self._seconds = MovingAverage()  # of an item
        self._result_bytes = MovingAverage()  # of an item
        self._stopped = False
        resized(self._number, "that was given" if self._tuner is None else self._tuner.why)
        self._shut_down = workers.start_for(self, self._number)

    def __iter__(self) -> Iterator[Task]:
        try:
            while self._next_task():
                yield self._current
                self._items -= self._current.items
                self._bytes -= self._current.nbytes
            if self._end is not None and not isinstance(self._end, StopIteration):
                raise self._end
        finally:
            self._end = None
            self.close()
            for task in (self._current, *self._pending):
                task.outcomes.clear()  # the traceback of an error in it leads back to it
            self._pending.clear()

    def held(self) -> list[Any]:
        """The entries that were taken from the source and not given yet."""
        return [entry for task in (self._current, *self._pending) for entry in task.entries]

    def interrupt(self) -> None:
        """From another thread: a `next` that waits raises BridgeError."""
        self._stopped = True
        self._workers.stop()

    def close(self) -> None:
        """Drops what has not begun, and waits for the calls under way. Idempotent."""
        self._stopped = True
        self._shut_down()

    # -- handing over

    def _next_task(self) -> bool:
        """Makes the oldest task the current one, once it is done; False if there is none."""
        self._hand_over()
        if not self._pending:
            return False
        while not self._pending[0].done:
            self._wait()
        self._current = self._pending.popleft()
        if self._tuner is not None and self._tuner.look():
            self._number = self._tuner.number
            self._workers.resize(self._number)
            self._resized(self._number, self._tuner.why)
        return True

    def _hand_over(self) -> None:
        taken, slow = 0, False
        while self._end is None:
            self._collect()
            # Two for one that is given, so that there are soon as many ahead as there may be.
            if self._pending and self._pending[0].done and (taken == 2 or slow):
                return
            if self._under_way >= UNDER_WAY * self._number or not self._has_room():
                return
            began = perf_counter()
            self._take_task(began)
            taken, slow = taken + 1, perf_counter() - began > 2 * HELD_SECONDS

    def _has_room(self) -> bool:
        if not self._pending:
            return True
        most = max(ITEMS_AHEAD * self._number, TASKS_AHEAD * self._number * self._group_size())
        return self._items < most and self._bytes < BYTES_AHEAD

    def _group_size(self) -> int:
        return min(self._most_in_task, group_size(self._seconds.value))

    def _take_task(self, began: float) -> None:
        """Hands over a task of what comes next, or notes why nothing does. What comes slowly is not held back for more."""
        entries: deque[Any] = deque()
        expected = int(self._result_bytes.value or 0)
        add, measure = entries.append, self._measure
        left, room, until = self._group_size(), BYTES_AHEAD - self._bytes, began + HELD_SECONDS
        nbytes = 0
        try:
            for entry in self._source:
                add(entry)
                nbytes += expected + measure(entry)
                left -= 1
                if not left or nbytes >= room or perf_counter() > until:
                    break
            else:
                self._end = StopIteration()
        except Exception as error:  # noqa: BLE001 - raised again, behind the entries before it
            self._end = error
        if self._stopped:
            raise BridgeError("the iterator was closed")
        if entries:
            task = Task(entries, nbytes, expected * len(entries))
            self._items += task.items
            self._bytes += task.nbytes
            self._under_way += 1
            self._pending.append(task)
            self._workers.submit(task)

    # -- taking back

    def _collect(self) -> None:
        try:
            while self._under_way:
                self._finish(self._workers.done.get_nowait())
        except Empty:
            pass

    def _wait(self) -> None:
        began = perf_counter()
        self._finish(self._workers.done.get())
        if self._tuner is not None:
            self._tuner.wait(perf_counter() - began)

    def _finish(self, task: Task | BaseException | None) -> None:
        if not isinstance(task, Task) or self._stopped:
            raise task if isinstance(task, BaseException) else BridgeError("the iterator was closed")
        task.done = True
        self._under_way -= 1
        self._seconds.add(task.seconds / task.items)
        self._result_bytes.add(task.result_bytes / task.items)
        more = task.result_bytes - task.expected
        task.nbytes += more
        self._bytes += more
        if self._tuner is not None:
            self._tuner.finish(task.items, task.seconds)
