"""Runs a description: passes over the data, each through the stages, for `for` and for `async for`."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import count, islice
from typing import Any, Protocol, runtime_checkable
from weakref import finalize

from asyncwds.checks import function, refuse_coroutine
from asyncwds.engine.bridge import OTHER_PROCESS
from asyncwds.engine.source import Source
from asyncwds.errors import BridgeError, SpecError
from asyncwds.formatting.reprs import show_value
from asyncwds.pipeline.clock import StageClock
from asyncwds.pipeline.handlers import counted
from asyncwds.pipeline.outcome import Outcome
from asyncwds.pipeline.passes import Pass
from asyncwds.pipeline.reading import samples_from
from asyncwds.pipeline.shuffle import Shuffle
from asyncwds.pipeline.stage import Bindable, Composed, PipelineStage, is_bindable
from asyncwds.runtime.stats import Counters
from asyncwds.runtime.worker_info import WorkerInfo
from asyncwds.shards.plan import takes_place

Stage = Callable[[Iterator[Any]], Iterator[Any]]


@runtime_checkable
class Keeping(Bindable, Protocol):
    """A stage that keeps what it gave at a place: once that is complete, it needs nothing from the stages before it."""

    def is_complete(self) -> bool: ...


@runtime_checkable
class Reading(Protocol):
    """A stage that keeps something open while it reads, which the pass must be able to close and to interrupt."""

    def read_within(self, source: Iterator[Any], current: Pass) -> Iterator[Any]: ...


@dataclass(slots=True)
class Progress:
    """How far an iteration has come: its epoch, how many items of that it gave, and whether these are all."""

    epoch: int
    items: int = 0
    ended: bool = False


@dataclass(frozen=True)
class Description:
    """A dataset as data: the stages, and how often the data are passed over.

    The first stage is where items come from: a `Source`, anything that can be iterated, or a function without arguments.
    `passes` and `items` (after the stages) bound one iteration; None is without end.
    """

    stages: tuple[Any, ...] = ()
    seed: int = 0
    passes: int | None = 1
    items: int | None = None


def reseeded(description: Description, seed: int) -> Description:
    """The same with another seed of all orders that have none of their own."""
    head, *stages = description.stages or (None,)
    if isinstance(head, Source) and head.seed != seed:
        return replace(description, stages=(replace(head, seed=seed), *stages), seed=seed)
    return replace(description, seed=seed)


class Run:
    """One iteration in progress. Owns one pass at a time; the first begins to fetch as soon as the run exists."""

    def __init__(
        self,
        description: Description,
        epoch: int,
        place: WorkerInfo,
        counters: Counters,
        publish: Callable[[], None] | None = None,
    ) -> None:
        if not description.stages:
            raise SpecError("a pipeline without stages has nothing to iterate over")
        self._description = description
        self.epoch = epoch
        self._place = place
        self._counters = counters
        self._clock = StageClock(counters, publish)
        finalize(self, self._clock.stop).atexit = False  # an iterator may be dropped without being closed
        self.closed = False
        self._pass, self._samples = self._begin(0)

    def items(self) -> Iterator[Any]:
        """All passes."""
        items = repeated(self._one_pass, self._description.passes)
        return items if self._description.items is None else islice(items, self._description.items)

    def interrupt(self) -> None:
        """Makes whatever waits in another thread for the source raise BridgeError."""
        self.closed = True
        self._pass.interrupt()

    def close(self) -> None:
        self.closed = True
        self._pass.close()
        self._clock.stop()

    def _begin(self, number: int) -> tuple[Pass, Iterator[Any] | None]:
        """A new pass, and its samples if they come from a source of our own. What is the users' is left to who consumes."""
        # The passes of one iteration must not have the orders of the next iterations.
        current = Pass(self._description.seed, self.epoch + (number << 32), self._place, self._counters)
        head = self._description.stages[0]
        self._kept = self._last_complete(current)
        return current, samples_from(head, current) if isinstance(head, Source) and self._kept is None else None

    def _last_complete(self, current: Pass) -> int | None:
        """The last of the stages behind the first that has all it gives: nothing before it needs to run."""
        stages = self._description.stages[1:]
        for number in reversed(range(len(stages))):
            stage = stages[number]
            if isinstance(stage, Keeping) and stage.bound(current.seed, current.epoch, current.place).is_complete():
                return number
        return None

    @contextmanager
    def _one_pass(self, number: int) -> Iterator[Iterator[Any]]:
        if number:
            self._pass, self._samples = self._begin(number)
            if self.closed:  # by another thread, perhaps meanwhile
                self._pass.interrupt()
        with closing(self._pass) as current:
            yield self._staged(current)
            if getattr(self._description.stages[0], "empty_check", None) is not False:
                for check in current.outcomes:
                    check()

    def _staged(self, current: Pass) -> Iterator[Any]:
        head, *stages = self._description.stages
        items, self._samples = self._samples, None
        if items is None:
            items = opened(head, current) if self._kept is None else iter(())
        # What stands before a stage that reads shards runs beside the others, in a thread of its own.
        measured_from = max([number for number, stage in enumerate(stages, 1) if isinstance(stage, Reading)], default=-1) + 1
        if not measured_from and not isinstance(head, Source) and self._kept is None:
            items = self._clock.measured(items, 0, head)
        split = max([number for number, stage in enumerate(stages) if takes_place(stage)], default=0)
        for number, stage in list(enumerate(stages))[self._kept :]:
            place = self._place
            if isinstance(stage, Shuffle) and number < split:
                place = WorkerInfo()  # or the places would share out orders that are not the same
            # Two unseeded shuffles in one pipeline must not pick alike.
            items = _staged(stage, items, current, current.seed + number, place)
            if number + 1 >= measured_from:
                items = self._clock.measured(items, number + 1, stage)
        return self._clock.watched(items)


def opened(head: Any, current: Pass) -> Iterator[Any]:
    """What a pipeline begins with, as an iterator. Raises SpecError if that is nothing that gives items."""
    if is_bindable(head):
        head = head.bound(current.seed, current.epoch, current.place)
    items = _items(head)
    current.hold_if_it_can_be(items)
    return items


def _staged(stage: Any, items: Iterator[Any], current: Pass, seed: int, place: WorkerInfo) -> Iterator[Any]:
    if isinstance(stage, Reading):
        return stage.read_within(items, current)
    outcome = Outcome(current.counters)
    running = _counted(stage, outcome)
    has_handler = running is not stage
    if is_bindable(running):
        running = running.bound(seed, current.epoch, place)
    elif takes_place(running):
        running = partial(running, place=place)
    if not has_handler:
        return _items(running, items)
    current.outcomes.append(partial(outcome.check, getattr(stage, "batchsize", 1)))
    return outcome.noting_output(_items(running, outcome.noting_input(items)))


def _counted(stage: Any, outcome: Outcome) -> Any:
    if isinstance(stage, Composed):
        return Composed(tuple([_counted(function, outcome) for function in stage.functions]))
    return counted(stage, outcome.fail)


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
    raise SpecError(f"{type(stage).__name__} is not a valid pipeline stage" + ("" if source else " to begin with") + f": {stage!r}")


def _items(stage: Any, *source: Any) -> Iterator[Any]:
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
    if not is_stage(stage):
        raise SpecError(f"a stage must be callable with an iterator, or have a method run, not {show_value(stage)}")
    running = stage if callable(stage) else stage.run
    function("a stage", running, takes=None if takes_place(running) else 1)


def require_head(head: Any) -> None:
    """The same for the first: it may be anything that can be iterated over."""
    if hasattr(head, "__aiter__") and not hasattr(head, "__iter__"):
        raise SpecError(f"a pipeline begins with what a plain `for` can iterate over, and {show_value(head)} is asynchronous")
    if isinstance(head, Source) or hasattr(head, "__iter__"):
        return
    if not is_stage(head):
        raise SpecError(f"a pipeline begins with what can be iterated over, or a function that gives that, not {show_value(head)}")
    function("what a pipeline begins with", head if callable(head) else head.run)


def is_stage(stage: object) -> bool:
    return callable(stage) or callable(getattr(stage, "run", None))


def repeated(one_pass: Callable[[int], AbstractContextManager[Iterable[Any]]], passes: int | None) -> Generator[Any, None, None]:
    """The items of so many passes, each opened by its number; without end if that is None.

    One that gives nothing ends them, so that repeating an empty dataset does not spin.
    """
    for number in count() if passes is None else range(passes):
        empty = True
        with one_pass(number) as items:
            for item in items:
                empty = False
                yield item
        if empty:
            return


_NOTHING: Iterator[Any] = iter(())


def _refuse() -> None:
    raise BridgeError(
        "an iterator was used by several threads at once; give each an iterator of its own, or the items to them by a queue"
    ) from None


def _is_running_elsewhere(error: BaseException) -> bool:
    """Whether a generator was asked while another thread was in it: that is raised before any of its lines runs."""
    return isinstance(error, ValueError) and error.__traceback__ is not None and error.__traceback__.tb_next is None


class Iteration(Iterator[Any]):
    """What `iter(dataset)` returns. Closes itself at the end, on any error, and when dropped; `close` does so at once.

    It counts in `progress`; what that has already was given elsewhere, and is passed over.
    """

    def __init__(self, run: Run, progress: Progress) -> None:
        # The run must not refer to this object: without a cycle, dropping the iterator after `break` closes at once.
        self._run = run
        self._items = islice(run.items(), progress.items, None) if progress.items else run.items()
        self._progress = progress
        self._after: Iterator[Any] = _NOTHING  # what it gives once it is closed
        self._pid = os.getpid()
        if progress.ended:
            self.close()

    def __next__(self) -> Any:
        # Checked for each item (40 ns), not only for each block: a child would give out the rest of the parent's block.
        if self._pid != os.getpid():
            raise BridgeError(OTHER_PROCESS)
        try:
            item = next(self._items)
        except StopIteration:
            self._progress.ended = self._progress.ended or not self._run.closed
            self.close()
            self._require_one_thread()
            raise
        except BaseException as error:
            if _is_running_elsewhere(error):
                self._refuse_all()
            else:
                self.close()
            self._require_one_thread()
            raise
        self._progress.items += 1
        return item

    def _refuse_all(self) -> None:
        """Every thread that asks is told, that one too which is in the middle of it: it would end as if exhausted."""
        self._items = self._after = iter(_refuse, None)
        self.interrupt()

    def _require_one_thread(self) -> None:
        if self._after is not _NOTHING:
            _refuse()

    def interrupt(self) -> None:
        """Makes a `next` that waits in another thread raise BridgeError, and does not wait for anything."""
        self._run.interrupt()

    def close(self) -> None:
        """Stops the engine and waits for its end. Idempotent; afterwards the iterator is exhausted."""
        self._items = self._after
        self._run.close()
