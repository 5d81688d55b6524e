"""What runs in a pass for stages that are not ours: users' functions, and what they begin pipelines with."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

from asyncwds.errors import ResumeWarning, SpecError
from asyncwds.pipeline.context import Resources
from asyncwds.pipeline.lineage import REMEMBERED, SampleTrace, describe_traces, joined, sample_trace, trace_of
from asyncwds.pipeline.protocol import Stream
from asyncwds.pipeline.stage_run import is_noted, note_place
from asyncwds.samples import Sample

_NOTHING = object()


class ForeignRun:
    """One pass through a stage of another form: what it took for its latest item, and whose errors are its own.

    Of what it took last the source knows the samples for as long as it takes no more. So only of those before that they are
    noted, and a function that gives one item for each that it takes costs 0.1 us an item.
    """

    __slots__ = ("_again", "_earlier", "_found_out", "_fresh", "_given", "_item", "_name", "_passing", "_source")

    def __init__(self, name: str, source: Stream) -> None:
        self._name = name
        self._found_out: str | None = None  # what it did, which a stage that is said to be stateless must not
        self._source = source
        self._item: Any = _NOTHING  # what it took last, unless that is noted
        self._fresh = False  # whether it has given nothing since
        self._again = False  # whether it ever gave more than one item for what it took
        self._earlier: list[tuple[SampleTrace, ...]] = []  # of what it took before that, since it gave something
        self._given: list[tuple[SampleTrace, ...]] = []  # the same for what it gave last
        self._passing: Exception | None = None  # an error of the source, on its way through the stage

    def taken(self, items: Iterator[Any]) -> Iterator[Any]:
        try:
            for item in items:
                self._item = item
                self._fresh = True
                yield item
                if self._fresh:
                    self._note(item)
        except Exception as error:
            self._passing = error
            raise

    def _note(self, item: Any) -> None:
        self._item = _NOTHING
        self._earlier.append(trace_of(item, self._source))
        if len(self._earlier) > REMEMBERED:
            del self._earlier[: REMEMBERED // 2]

    def given(self, call: Callable[[Iterator[Any]], Iterator[Any]], items: Iterator[Any]) -> Iterator[Any]:
        try:
            for item in call(items):
                if self._fresh:
                    self._fresh = False
                    self._given = self._earlier
                    if self._earlier:
                        self._earlier = []
                else:
                    self._again = True
                yield item
        except Exception as error:
            if error is not self._passing and not is_noted(error):
                note_place(error, self._name, self._traces(self._earlier if self._fresh else self._given))
            self._passing = None  # with its traceback it would keep what an iterator that is dropped has open
            raise

    def watched(self, items: Iterator[Any]) -> Iterator[Any]:
        """The items of a stage that is said to be stateless."""
        for item in items:
            latest = self._item
            if self._found_out is None and self._again:
                self._find_out("gave more than one item for one that it took", "the rest of them")
            elif self._found_out is None and isinstance(item, Sample) and isinstance(latest, Sample):
                self._look(item, latest)
            yield item

    def _look(self, item: Sample, latest: Sample) -> None:
        given, taken = sample_trace(item), sample_trace(latest)
        if given is not None and taken is not None and given[2] != taken[2]:
            what = f"gave {describe_traces((given,))} after it took {describe_traces((taken,))}"
            self._find_out(what, "samples that it holds back")

    def _find_out(self, what: str, lost: str) -> None:
        self._found_out = what
        warnings.warn(
            f"{self._name} is said to be stateless, and {what}: an iteration that goes on from a state would lose {lost}. So that "
            "reads its pass over the shards again from the beginning. Give the stage `state` and `reopen`",
            ResumeWarning,
            stacklevel=2,
        )

    def state(self) -> None:
        """Raises SpecError where it was seen to keep something."""
        if self._found_out is not None:
            raise SpecError(f"{self._name} keeps something between two items: it {self._found_out}")

    def lineage(self) -> tuple[SampleTrace, ...]:
        return self._traces(self._given)

    def _traces(self, earlier: list[tuple[SampleTrace, ...]]) -> tuple[SampleTrace, ...]:
        latest = () if self._item is _NOTHING else trace_of(self._item, self._source)
        return joined([*earlier, latest])


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

    def lineage(self) -> tuple[SampleTrace, ...]:
        """Datasets and mixes of ours know it."""
        lineage: Callable[[], tuple[SampleTrace, ...]] | None = getattr(self._items, "lineage", None)
        return () if lineage is None else lineage()
