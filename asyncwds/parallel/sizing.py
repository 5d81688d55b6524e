"""How many items make a task, how large they are, and how many workers feed the consumer: pure functions of what was measured,
and a tuner that looks at the consumer now and then.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import ceil
from time import perf_counter
from typing import Any, NamedTuple

TASK_SECONDS = 0.006  # a task costs 40 to 80 us to hand over, and more where threads find the caches cold that they wake up to
MOST_IN_TASK = 64
HELD_SECONDS = 0.004  # that what a source has given waits for more of a task
WAITS = 0.05  # of its time: a consumer that waits longer is not fed
GAIN = 1.1  # in items/s, below which more workers are of no use: they share the interpreter, or a disk
SPARE = 1.25  # workers over those that were busy all the time, before some are dismissed
AT_ONCE = 64  # coroutines, at most, where the number is found and not given


@dataclass(frozen=True, slots=True)
class Seen:
    """A period in which so many workers ran: [s] on the clock, that the consumer waited, that items took all together; items/s."""

    workers: int
    elapsed: float
    waited: float
    worked: float
    rate: float


def group_size(seconds: float | None) -> int:
    """Items of a task, where one takes so long."""
    if seconds is None:
        return 1
    return max(1, min(MOST_IN_TASK, int(TASK_SECONDS / max(seconds, 1e-9))))


class ChosenWorkers(NamedTuple):
    """So many workers, and why."""

    workers: int
    why: str


def choose_workers(seen: Seen, before: Seen | None, most: int) -> ChosenWorkers:
    """The number that feeds the consumer and no more. `before` is the period with fewer workers, if some were just added.

    A consumer that does not wait took all there was in (elapsed - waited), so that is how fast it would take more.
    """
    if before is not None and seen.workers > before.workers and seen.rate < GAIN * before.rate:
        return ChosenWorkers(
            before.workers, f"{seen.workers} did {seen.rate:.3g} items/s and these {before.rate:.3g}: more are of no use"
        )
    waits = f"the consumer waited for {100 * seen.waited / seen.elapsed:.0f} % of its time"
    if seen.waited > WAITS * seen.elapsed:
        wanted = ceil(seen.worked / max(seen.elapsed - seen.waited, 1e-9))
        chosen = min(most, max(seen.workers + 1, min(wanted, 2 * seen.workers)))
        return ChosenWorkers(chosen, f"{waits} with {seen.workers}" + (f", and {most} are the most" if chosen == most else ""))
    busy = seen.worked / seen.elapsed
    return ChosenWorkers(max(1, min(seen.workers, ceil(SPARE * busy))), f"{waits}, and {busy:.1f} of {seen.workers} were busy")


def available_cores() -> int:
    """Those that this process may run on."""
    count = getattr(os, "process_cpu_count", None)  # from Python 3.13 on; it follows -X cpu_count
    if count is not None:
        return count() or 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def payload_bytes(item: Any) -> int:
    """[bytes] of what is in an item, as far as can be seen: bytes, text, arrays, images, and containers of such."""
    kind = type(item)
    if kind in _FLAT:
        return len(item)
    if kind in _NUMBERS:
        return 0
    if isinstance(item, _CONTAINERS):
        return _sum(item.values() if isinstance(item, dict) else item)
    nbytes = getattr(item, "nbytes", None)
    if isinstance(nbytes, int):
        return nbytes
    if hasattr(item, "getbands"):  # Pillow's
        return int(item.width * item.height * len(item.getbands()))
    return 0


def _sum(values: Iterable[Any]) -> int:
    total = 0
    for value in values:
        total += len(value) if type(value) in _FLAT else payload_bytes(value)
    return total


# This is asked twice for each item that workers work on: of most values the type tells at once.
_FLAT = frozenset({bytes, str, bytearray})
_NUMBERS = frozenset({int, float, bool, type(None)})
_CONTAINERS = (dict, list, tuple)


FIRST_LOOK, LOOK = 0.02, 0.25  # [s] between two looks: while the number grows, and then
TASKS = 4  # per worker: after fewer, a period says little
REST = 40  # looks until more workers are tried again that were of no use


class WorkerTuner:
    """`number` of workers, of `most`, for a consumer that waited and tasks that took so long."""

    def __init__(self, most: int, clock: Callable[[], float] = perf_counter) -> None:
        self.number = 1
        self.why = "that is what it begins with"
        self._most = most
        self._clock = clock
        self._before: Seen | None = None
        self._rest = 0
        self._begin(FIRST_LOOK)

    def _begin(self, length: float) -> None:
        self._began, self._length = self._clock(), length
        self._waited = self._worked = 0.0
        self._items = self._tasks = 0

    def wait(self, seconds: float) -> None:
        self._waited += seconds

    def finish(self, items: int, seconds: float) -> None:
        """A task of so many items is done."""
        self._items += items
        self._tasks += 1
        self._worked += seconds

    def look(self) -> bool:
        """Whether the number is another one now. Then there is another `why`, too."""
        elapsed = self._clock() - self._began
        if elapsed < self._length or self._tasks < TASKS * self.number:
            return False
        seen = Seen(self.number, elapsed, self._waited, self._worked, self._items / elapsed)
        chosen, why = choose_workers(seen, self._before, self._most if self._rest <= 0 else self.number)
        if self._before is not None and chosen == self._before.workers:
            self._rest = REST
        self._rest -= 1
        self._before = seen if chosen > self.number else None
        changed, self.number = chosen != self.number, chosen
        if changed:
            self.why = why
        self._begin(FIRST_LOOK if changed else LOOK)
        return changed
