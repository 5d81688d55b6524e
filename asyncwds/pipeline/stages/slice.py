"""The stage that keeps a range of the items."""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, ClassVar, TypeVar

from asyncwds.errors import SpecError
from asyncwds.formatting.texts import show_value
from asyncwds.pipeline.context import ResumableStageStream, RunContext, StageStream
from asyncwds.pipeline.lineage import samples_in
from asyncwds.pipeline.protocol import JsonValue, ResumableStream, Stream
from asyncwds.pipeline.stage_run import run_alone
from asyncwds.runtime.tally import Tally

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Slice:
    """`itertools.islice`: (stop), (start, stop) or (start, stop, step)."""

    gives_what_it_takes: ClassVar[bool] = True
    counts_marks: ClassVar[bool] = True
    elastic: ClassVar[bool] = False
    bounds: tuple[int | None, ...]

    def __post_init__(self) -> None:
        try:
            islice((), *self.bounds)
        except (TypeError, ValueError) as error:
            raise SpecError(f"slice{self.bounds!r}: {error}") from error

    def __call__(self, source: Iterable[T]) -> Iterator[T]:
        return run_alone(self, source)

    def open(self, source: Stream, context: RunContext) -> ResumableStream:
        return self.reopen(source, context, {"given": 0})

    def reopen(self, source: Stream, context: RunContext, state: JsonValue) -> ResumableStream:
        try:
            known: Any = state
            run = SliceRun(builtins.slice(*self.bounds), source, int(known["given"]), context.counters.tally)
        except (KeyError, TypeError, ValueError) as error:
            raise SpecError(f"not the state of a slice: {show_value(state)}") from error
        return ResumableStageStream(StageStream(run.items, source), run.state)


class SliceRun:
    """A slice in one pass, of which so many items were given before."""

    def __init__(self, bounds: builtins.slice, source: Stream, given: int, tally: Tally) -> None:
        self._bounds = bounds
        self._tally = tally
        self._source = source
        self._given = given
        self._latest: Any = None
        self._passed = False  # it was taken and not given

    def items(self) -> Iterator[Any]:
        start, stop, step = self._bounds.start or 0, self._bounds.stop, self._bounds.step or 1
        if self._given:  # of the source's items, so many have been taken
            taken = start + (self._given - 1) * step + 1
            start, stop = step - 1, None if stop is None else max(0, stop - taken)
        for item in islice(self._noting() if start or step > 1 else self._source, start, stop, step):
            self._passed = False
            self._given += 1
            yield item
        self._leave_out()  # what stands behind the last one is not asked for, and so not left out

    def _noting(self) -> Iterator[Any]:
        for item in self._source:
            self._latest, self._passed = item, True
            yield item
            self._leave_out()

    def _leave_out(self) -> None:
        if self._passed:
            self._passed = False
            self._tally.drop("slice", samples_in(self._latest, self._source))

    def state(self) -> dict[str, Any]:
        return {"given": self._given}


def slice(*bounds: int | None) -> Slice:  # noqa: A001 - WebDataset's name
    return Slice(bounds)
