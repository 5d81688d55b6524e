"""Finds how many workers feed the consumer, by looking at it now and then."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

from asyncwds.parallel.sizing import Seen, choose_workers

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
