"""What a pass over the data knows of itself: the numbers that its orders depend on, and what is open in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar, runtime_checkable

from asyncwds.runtime.stats import Counters
from asyncwds.runtime.worker_info import WorkerInfo


@runtime_checkable
class Held(Protocol):
    def interrupt(self) -> None: ...
    def close(self) -> None: ...


H = TypeVar("H", bound=Held)


class Pass:
    """One pass over the data, for the stages that take part in it."""

    def __init__(self, seed: int, epoch: int, place: WorkerInfo, counters: Counters) -> None:
        self.seed = seed
        self.epoch = epoch
        self.place = place
        self.counters = counters
        self.outcomes: list[Callable[[], None]] = []  # each raises, at the end, if a stage was left with nothing but errors
        self._held: list[Held] = []
        self._interrupted = False

    def hold(self, opened: H) -> H:
        """Makes `opened` end with the pass. `interrupt` is called from another thread, perhaps at this moment."""
        self._held.append(opened)
        if self._interrupted:
            opened.interrupt()
        return opened

    def hold_if_it_can_be(self, items: Any) -> None:
        """The same for an iterator of our own; what is the users' has no `interrupt`."""
        if isinstance(items, Held):
            self.hold(items)

    def interrupt(self) -> None:
        self._interrupted = True
        for opened in tuple(self._held):
            opened.interrupt()

    def close(self) -> None:
        self.interrupt()  # all of it first: one may wait for another
        while self._held:
            self._held.pop().close()
