"""Makes a `Stage` of every form in which users write stages. Nothing else in the package looks at what kind of thing one is.

    open(source, context)       the protocol itself: it is left as it is
    a function of an iterator   a generator function, a callable object, what `pipelinefilter` makes
    run(src)                    WebDataset's `PipelineStage`, or an object with such a method
    an argument `place`         a splitter: it is told the rank and the worker
    bound(seed, epoch, place)   gives one of these, or the items of a list of shards
    a dataclass with `handler`  gets a handler that also counts what is skipped

What a pipeline begins with may also be anything that can be iterated over, or a function without arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, is_dataclass, replace
from functools import partial
from inspect import signature
from typing import Any

from asyncwds.checks import function, refuse_coroutine
from asyncwds.engine.source import Source
from asyncwds.errors import SpecError
from asyncwds.formatting.texts import show_value
from asyncwds.pipeline.context import RunContext, StageStream
from asyncwds.pipeline.foreign import ForeignRun, HeadRun
from asyncwds.pipeline.inner import InnerHead, tells_state
from asyncwds.pipeline.loader_head import LoaderHead, is_tracked
from asyncwds.pipeline.protocol import ReplayingStage, Stage, Stream
from asyncwds.pipeline.reading import SourceStage
from asyncwds.pipeline.stage import PipelineStage, is_stateless
from asyncwds.pipeline.stage_run import Outcome
from asyncwds.runtime.handlers import Handler
from asyncwds.shards.plan import takes_place

CALLED = {"__iter__", "run", "__call__"}


def adapt(stage: Any) -> Stage:
    """The stage that a pipeline runs for what stands in it behind the first."""
    return stage if _speaks_protocol(stage) else ForeignStage(stage)


def adapt_head(head: Any) -> Stage:
    """The same for what stands first; its source has no items."""
    if isinstance(head, Source):
        return SourceStage(head)
    if is_tracked(head):
        return LoaderHead(head)
    if _speaks_protocol(head):
        return head  # type: ignore[no-any-return]
    return InnerHead(head) if tells_state(head) else ForeignHead(head)


def adapt_all(stages: Sequence[Any]) -> list[Stage]:
    return [adapt(stage) if number else adapt_head(stage) for number, stage in enumerate(stages)]


def first_needed(stages: Sequence[Stage], context: RunContext) -> int:
    """The last stage that has all it gives, or the first of all: nothing before it needs to run."""
    kept = [number for number, stage in enumerate(stages) if isinstance(stage, ReplayingStage) and stage.replays(context)]
    return max(kept, default=0)


def last_splitter(stages: Sequence[Stage]) -> int:
    """The last stage by which ranks and workers share out items; orders before it must be alike in all of them."""
    return max([number for number, stage in enumerate(stages) if isinstance(stage, ForeignStage) and stage.splits], default=0)


def last_reader(stages: Sequence[Stage]) -> int:
    """The last stage that reads shards, ahead of those behind it and in threads of its own; -1 if there is none."""
    return max([number for number, stage in enumerate(stages) if getattr(stage, "reads_ahead", False)], default=-1)


def follows_pass(head: Any) -> bool:
    """Whether seed and epoch reach it by the pass: then nobody needs to call its `set_epoch`."""
    return _speaks_protocol(head) or _decides(head, "bound")


def _speaks_protocol(stage: object) -> bool:
    """Other things have a method `open` too, as archives that are iterated over."""
    return _decides(stage, "open") and {"source", "context"} <= signature(stage.open).parameters.keys()  # type: ignore[attr-defined]


def _decides(stage: object, method: str) -> bool:
    """Whether that method says what a stage does.

    It does not where a subclass, one of a user's, has its own `__iter__`, `run` or `__call__`: that is what has to be called.
    """
    for kind in type(stage).__mro__:
        if method in vars(kind):
            return True
        if vars(kind).keys() & CALLED:
            return False
    return False


@dataclass(frozen=True)
class ForeignStage:
    """A stage of another form. It may hold what it takes, and nobody sees it: its items are made of what it took since the last."""

    stage: Any

    @property
    def splits(self) -> bool:
        return takes_place(self.stage)

    def open(self, source: Stream, context: RunContext) -> Stream:
        outcome = Outcome(context.counters, getattr(self.stage, "batchsize", 1))
        stage = _counting(self.stage, outcome)
        call = partial(_iterate, _bound(stage, context))
        run = ForeignRun(_name(self.stage), source)
        state = run.state if is_stateless(self.stage) else None
        if state is not None:
            return StageStream(lambda: run.watched(run.given(call, run.taken(iter(source)))), source, run.lineage, state=state)
        if stage is self.stage:
            return StageStream(lambda: run.given(call, run.taken(iter(source))), source, run.lineage)
        context.checks.append(outcome.check)
        return StageStream(
            lambda: outcome.noting_output(run.given(call, run.taken(outcome.noting_input(iter(source))))),
            source,
            run.lineage,
        )


@dataclass(frozen=True)
class ForeignHead:
    """What a pipeline begins with: what can be iterated over, or gives that when it is called."""

    head: Any

    @property
    def empty_check(self) -> bool | None:
        return getattr(self.head, "empty_check", None)

    @property
    def reads_shards(self) -> bool:
        """Whether it is a DataLoader: its dataset may, and nobody knows how far it has come."""
        return hasattr(self.head, "dataset")

    def open(self, source: Stream, context: RunContext) -> Stream:
        run = HeadRun(lambda: _iterate(_bound(self.head, context)), context.resources)
        return StageStream(run.items, source, run.lineage, closes=False)


def _bound(stage: Any, context: RunContext) -> Any:
    if _decides(stage, "bound"):
        return stage.bound(context.seed, context.epoch, context.worker_info)
    return partial(stage, place=context.worker_info) if takes_place(stage) else stage


@dataclass(frozen=True, slots=True)
class CountingHandler:
    handler: Handler
    count: Callable[[Exception], object]

    def __call__(self, error: Exception) -> bool:
        self.count(error)
        return self.handler(error)


def _counting(stage: Any, outcome: Outcome) -> Any:
    if not is_dataclass(stage) or isinstance(stage, type) or not hasattr(stage, "handler"):
        return stage
    return replace(stage, handler=CountingHandler(stage.handler, outcome.fail))


def _name(stage: Any) -> str:
    named = getattr(stage, "f", stage) if not hasattr(stage, "__qualname__") else stage
    return str(getattr(named, "__qualname__", type(stage).__name__))


# -- calling, and what can be called


def invoke(stage: Any, *source: Any) -> Iterable[Any]:
    """A stage applied to its source; without one, what it gives as the beginning of a pipeline.

    There it may be anything that can be iterated (a list, dataset, DataLoader, list of shards) or a function; elsewhere a
    function of the source, or an object with `run(source)`. Raises SpecError for all else.
    """
    if not source and hasattr(stage, "__iter__"):
        return stage  # type: ignore[no-any-return]
    if is_stage(stage):
        runs = isinstance(stage, PipelineStage) or not callable(stage)
        return stage.run(*source) if runs else stage(*source)  # type: ignore[no-any-return]
    raise SpecError(
        f"{type(stage).__name__} is not a valid pipeline stage" + ("" if source else " to begin with") + f": {show_value(stage)}"
    )


def _iterate(stage: Any, *source: Any) -> Iterator[Any]:
    """What `invoke` gives, as an iterator. Raises SpecError where it can't be iterated over: asynchronous ones, and None."""
    given = invoke(stage, *source)
    refuse_coroutine("a stage", given)
    if not hasattr(given, "__iter__") and not hasattr(given, "__getitem__"):
        raise SpecError(f"a stage must return an iterator, and {show_value(stage)} returned {type(given).__name__}" + _hint(given))
    return iter(given)


def _hint(given: object) -> str:
    return "; asynchronous stages are not supported" if hasattr(given, "__aiter__") else ""


def require_stages(stages: Iterable[Any]) -> None:
    """Raises SpecError unless a pipeline can consist of these."""
    for number, stage in enumerate(stages):
        (require_stage if number else require_head)(stage)


def require_stage(stage: Any) -> None:
    """Raises SpecError for what cannot stand behind the first in a pipeline."""
    if _speaks_protocol(stage):
        return
    if not is_stage(stage):
        raise SpecError(f"a stage must be callable with an iterator, or have a method run, not {show_value(stage)}")
    running = stage if callable(stage) else stage.run
    function("a stage", running, takes=None if takes_place(running) else 1)


def require_head(head: Any) -> None:
    """The same for the first: it may be anything that can be iterated over."""
    if hasattr(head, "__aiter__") and not hasattr(head, "__iter__"):
        raise SpecError(f"a pipeline begins with what a plain `for` can iterate over, and {show_value(head)} is asynchronous")
    if isinstance(head, Source) or hasattr(head, "__iter__") or _speaks_protocol(head):
        return
    if not is_stage(head):
        raise SpecError(f"a pipeline begins with what can be iterated over, or a function that gives that, not {show_value(head)}")
    function("what a pipeline begins with", head if callable(head) else head.run)


def is_stage(stage: object) -> bool:
    return callable(stage) or callable(getattr(stage, "run", None))
