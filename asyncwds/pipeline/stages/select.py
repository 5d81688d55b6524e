"""The stage that keeps samples by a function."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, TypeVar

from asyncwds import checks
from asyncwds.pipeline.context import RunContext
from asyncwds.pipeline.protocol import Stream
from asyncwds.pipeline.skipping import passing_marks
from asyncwds.pipeline.stage_run import StageRun, function_name, open_loop, run_alone
from asyncwds.runtime.handlers import Handler, reraise_exception

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Select:
    """Keeps the samples for which `predicate(sample)` is true."""

    passes_marks: ClassVar[bool] = True
    predicate: Callable[[Any], Any]
    handler: Handler = reraise_exception

    def __post_init__(self) -> None:
        checks.function("select: predicate", self.predicate, takes=1)
        checks.function("select: handler", self.handler, takes=1)

    def __call__(self, source: Iterable[T]) -> Iterator[T]:
        return run_alone(self, source)

    def open(self, source: Stream, context: RunContext) -> Stream:
        predicate = passing_marks(self.predicate, context)
        return open_loop(partial(_selected, predicate), source, context, f"select({function_name(self.predicate)})", self.handler)


def _selected(predicate: Callable[[Any], Any], items: Iterator[Any], run: StageRun) -> Iterator[Any]:
    for sample in items:
        run.item = sample
        try:
            selected = predicate(sample)
        except Exception as error:  # noqa: BLE001 - user code; the handler decides
            if run.goes_on(error):
                continue
            return
        if selected:
            if selected is not True:
                checks.refuse_coroutine("select", selected)
            yield sample
        else:
            run.drop()


def select(predicate: Callable[[Any], Any], handler: Handler = reraise_exception) -> Select:
    return Select(predicate, handler)
