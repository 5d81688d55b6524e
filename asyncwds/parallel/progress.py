"""How far the consumer of a loader has come: of each process its state behind the item taken last, and whose turn is next."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from asyncwds.errors import SpecError
from asyncwds.formatting.texts import show_value
from asyncwds.runtime.state_changes import State, StateChange, changed

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Event:
    """An item of a process, or its end."""

    worker: int
    change: StateChange | None
    is_item: bool


@dataclass(slots=True)
class LoaderProgress:
    """Of one iteration. `begin` is the state of the dataset before it; None where that has none.

    `taken` tells how many items the consumer has taken, where that is another one than whoever calls `note`.
    """

    begin: State | None
    workers: list[State | None]
    order: list[int]
    items: int = 0
    warnings: set[str] = field(default_factory=set)
    taken: Callable[[], int] | None = None
    _events: deque[Event] = field(default_factory=deque)
    _before: int = 0

    @classmethod
    def of(cls, begin: State | None, processes: int) -> LoaderProgress:
        return cls(begin, [None] * processes, list(range(processes)))

    @classmethod
    def from_state(cls, state: Any, processes: int) -> LoaderProgress:
        """Raises SpecError for what is no state of a loader with so many processes."""
        try:
            if state["format"] != FORMAT:
                raise SpecError(f"the state has format {state['format']}, and this version of asyncwds knows format {FORMAT}")
            workers, order = list(state["workers"]), [int(worker) for worker in state["order"]]
            found = cls(state["dataset"], workers, order, int(state["items"]))
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, SpecError):
                raise
            raise SpecError(f"not the state of a loader: {show_value(state)}") from error
        if len(workers) != processes:
            raise SpecError(
                f"the state is that of {len(workers)} processes, and this loader has {processes}: an epoch is gone on with by as "
                "many as began it"
            )
        found._before = found.items
        return found

    def follow(self, taken: Callable[[], int]) -> None:
        self.taken = taken

    def note(self, worker: int, change: StateChange | None, *, is_item: bool) -> None:
        """What the iteration gives next, or that one of its processes has ended."""
        self._events.append(Event(worker, change, is_item))
        if self.taken is None:
            self._commit(None)

    def _commit(self, items: int | None) -> None:
        """Takes into account what came before the item after `items`; all, if that is None."""
        while self._events and (items is None or self.items < items or not self._events[0].is_item):
            event = self._events.popleft()
            if event.change is not None:
                self.workers[event.worker] = changed(self.workers[event.worker], event.change)
                if event.change.warning is not None:
                    self.warnings.add(event.change.warning)
            self.order.remove(event.worker)
            if event.is_item:
                self.items += 1
                self.order.append(event.worker)

    def as_state(self) -> dict[str, Any]:
        if self.taken is not None:
            self._commit(self._before + self.taken())
        return {
            "format": FORMAT,
            "items": self.items,
            "ended": not self.order,
            "order": list(self.order),
            "workers": list(self.workers),
            "dataset": self.begin,
        }


def epoch_of(state: State | None) -> int | None:
    """That of a dataset's state, where it has one."""
    epoch = state.get("epoch") if isinstance(state, Mapping) else None
    return epoch if isinstance(epoch, int) else None
