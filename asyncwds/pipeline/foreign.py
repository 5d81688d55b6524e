"""What runs in a pass for stages that are not ours: users' functions, and what they begin pipelines with."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from asyncwds.pipeline.context import Resources
from asyncwds.pipeline.handlers import is_noted, note_place
from asyncwds.pipeline.lineage import REMEMBERED, Trace, joined, trace_of
from asyncwds.pipeline.protocol import Stream


class ForeignRun:
    """One pass through a stage of another form: what it took for its latest item, and whose errors are its own."""

    def __init__(self, name: str, source: Stream) -> None:
        self._name = name
        self._source = source
        self._taken: deque[tuple[Trace, ...]] = deque(maxlen=REMEMBERED)
        self._given: Sequence[tuple[Trace, ...]] = ()
        self._passing: Exception | None = None  # an error of the source, on its way through the stage

    def taken(self, items: Iterator[Any]) -> Iterator[Any]:
        note, source = self._taken.append, self._source
        try:
            for item in items:
                note(trace_of(item, source))
                yield item
        except Exception as error:
            self._passing = error
            raise

    def given(self, call: Callable[[Iterator[Any]], Iterator[Any]], items: Iterator[Any]) -> Iterator[Any]:
        try:
            for item in call(items):
                if self._taken:
                    self._given = tuple(self._taken)
                    self._taken.clear()
                yield item
        except Exception as error:
            if error is not self._passing and not is_noted(error):
                note_place(error, self._name, joined(self._taken or self._given))
            self._passing = None  # with its traceback it would keep what an iterator that is dropped has open
            raise

    def lineage(self) -> tuple[Trace, ...]:
        return joined(self._given)


class HeadRun:
    """One pass through what a pipeline begins with."""

    def __init__(self, begin: Callable[[], Iterator[Any]], resources: Resources) -> None:
        self._begin = begin
        self._resources = resources
        self._items: Iterator[Any] = iter(())

    def items(self) -> Iterator[Any]:
        self._items = self._begin()
        self._resources.hold_if_it_can_be(self._items)
        return self._items

    def lineage(self) -> tuple[Trace, ...]:
        """Datasets and mixes of ours know it."""
        lineage: Callable[[], tuple[Trace, ...]] | None = getattr(self._items, "lineage", None)
        return () if lineage is None else lineage()
