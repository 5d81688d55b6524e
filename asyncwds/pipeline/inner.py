"""What stands within another pipeline: one that it begins with, and the members of a mix. Each tells its own state."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from operator import length_hint
from typing import Any

from asyncwds.errors import SpecError
from asyncwds.formatting.texts import show_value
from asyncwds.pipeline.context import ResumableStageStream, RunContext, StageStream
from asyncwds.pipeline.foreign import HeadRun
from asyncwds.pipeline.protocol import Stream
from asyncwds.pipeline.within import UnnumberedItems, Within
from asyncwds.runtime.state_changes import load

LISTS = (list, tuple, range)


@dataclass(frozen=True, slots=True)
class Inner:
    """An iterator over it, and what tells its state, which raises SpecError where there is none, and the one that it began with.

    `numbered`: its samples say through which of its passes they came, where that is wanted.
    """

    items: Iterator[Any]
    state: Callable[[], Any]
    beginning: Callable[[], Any]
    numbered: bool = False

    def source(self, within: Within | None) -> Any:
        """The items, for whoever gives them to stages."""
        return self.items if self.numbered or within is None else UnnumberedItems(self.items, within.numbers)


def tells_state(dataset: Any) -> bool:
    return type(dataset) in LISTS or hasattr(dataset, "state_before")


def open_inner(dataset: Any, state: Any = None, within: Within | None = None) -> Inner:
    """Begins an iteration over it, or goes on with the one that a state is of. `within` is where it stands in another pipeline."""
    if type(dataset) in LISTS:
        return _open_list(dataset, state)
    if not tells_state(dataset):
        return Inner(iter(dataset), partial(_refuse, dataset), lambda: None)
    if state is None:
        state = dataset.state_before(0)
    else:
        load(dataset, state, strict=False)  # what it is was compared before
    numbered = dataset.iterate_within(within) if within is not None and hasattr(dataset, "iterate_within") else None
    items = iter(dataset) if numbered is None else numbered
    return Inner(items, getattr(items, "quiet_state", dataset.state_dict), lambda: state, numbered is not None)


def _open_list(items: Any, state: Any) -> Inner:
    iterator = iter(items)
    try:
        taken = 0 if state is None else int(state["taken"])
    except (KeyError, TypeError, ValueError) as error:
        raise SpecError(f"not the state of a list: {show_value(state)}") from error
    for _ in range(taken):
        next(iterator, None)
    return Inner(iterator, lambda: {"taken": len(items) - length_hint(iterator)}, lambda: {"taken": taken})


def _refuse(dataset: Any) -> Any:
    raise SpecError(f"{show_value(dataset)} does not say how far it has come")


@dataclass(frozen=True)
class InnerHead:
    """The stage of what a pipeline begins with, where that tells its state."""

    dataset: Any

    @property
    def reads_shards(self) -> bool:
        return type(self.dataset) not in LISTS

    def open(self, source: Stream, context: RunContext) -> Stream:
        return self._stream(source, context, None)

    def reopen(self, source: Stream, context: RunContext, state: Any) -> Stream:
        try:
            return self._stream(source, context, state["workers"][0])
        except (KeyError, TypeError, IndexError) as error:
            raise SpecError(f"not the state of {show_value(self.dataset)}: {show_value(state)}") from error

    def _stream(self, source: Stream, context: RunContext, state: Any) -> Stream:
        run = InnerRun(self.dataset, state, None if context.within is None else context.within.step(0))
        head = HeadRun(run.begin, context.resources)
        return InnerStream(StageStream(head.items, source, head.lineage, closes=False), run, context.within)

    def beginning(self) -> Any:
        return None if type(self.dataset) in LISTS else self.dataset.state_before(0)

    def begin_from(self, state: Any) -> None:
        load(self.dataset, state, strict=False)

    def repeats(self) -> bool:
        return repeats(self.dataset)

    def weight_changes(self) -> int:
        return changes(self.dataset)


class InnerRun:
    """One pass over it."""

    def __init__(self, dataset: Any, state: Any, within: Within | None) -> None:
        self._dataset = dataset
        self._within = within
        self._first = state
        self._inner: Inner | None = None

    def begin(self) -> Iterator[Any]:
        self._inner = open_inner(self._dataset, self._first, self._within)
        return self._inner.source(self._within)  # type: ignore[no-any-return]

    def state(self) -> Any:
        return {"workers": [self._first if self._inner is None else self._inner.state()]}

    def beginning(self) -> Any:
        return None if self._inner is None else {"workers": [self._inner.beginning()]}


class InnerStream(ResumableStageStream):
    """One that also tells the state that it began with, and of what shards what is held behind it was."""

    def __init__(self, stream: StageStream, run: InnerRun, within: Within | None) -> None:
        super().__init__(stream, run.state)
        self.beginning = run.beginning
        self._within = within
        if within is not None:
            self.shards, self.know = within.pack, within.know

    @property
    def batches(self) -> int:
        return 0 if self._within is None else self._within.batches


def repeats(dataset: Any) -> bool:
    """Whether its items are the same ones in the same order, each time that an epoch is gone through."""
    if type(dataset) in LISTS:
        return True
    tell: Callable[[], bool] | None = getattr(dataset, "repeats", None)
    return tell is not None and tell()


def changes(dataset: Any) -> int:
    """How often weights of mixes in it were set by hand."""
    tell: Callable[[], int] | None = getattr(dataset, "weight_changes", None)
    return 0 if tell is None else tell()
