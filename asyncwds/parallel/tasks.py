"""What consumer and workers hand each other."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Protocol
from weakref import finalize


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
