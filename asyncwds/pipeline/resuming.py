"""The state of a pass: of each stage what it keeps, and its streams opened again from that.

What a stage held is read again: its samples by ranges, and what stages in front of it made of them by these stages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, cast

from asyncwds.errors import SpecError
from asyncwds.pipeline.context import RunContext
from asyncwds.pipeline.held import Ref, pack_held, unpack_refs
from asyncwds.pipeline.lineage import SampleTrace, trace_of
from asyncwds.pipeline.protocol import ResumableStage, Stage, Stream
from asyncwds.pipeline.skipping import Marks, is_mark
from asyncwds.pipeline.within import renumbered
from asyncwds.runtime.counters import Counters

States = list[Any]
"""Of each stage, what it keeps; None is nothing."""
OpenStage = tuple[str, Stage, RunContext]
"""A stage by its name, and what it is opened with."""
NOTHING_AGAIN: Mapping[int, ChainedStream] = {}


def collect_states(
    stages: Sequence[OpenStage], streams: Mapping[int, Any], base: int, again: Mapping[int, ChainedStream] = NOTHING_AGAIN
) -> States:
    """The states of the streams from number `base` on, which is the one that gives samples; those before it give shards.

    `again` has what stages held in the state that this pass was opened from: they may not have taken all of it yet.

    Raises SpecError where a stage has none, which says why.
    """
    states: States = [None] * len(stages)
    shards: set[int] = set()
    for number in range(base, len(stages)):
        state = _state_of(stages[number], streams.get(number))
        waiting = again[number].waiting() if number in again else []
        if waiting and not isinstance(state, Mapping):
            raise SpecError(f"{stages[number][0]} has not taken yet what it held")
        if isinstance(state, Mapping) and (state.get("held") or waiting):
            _require_again(stages[base : number + 1], streams[base])
            packed, of_these = pack_held(state.get("held", ()), waiting)
            shards |= of_these
            own = {"own": len(state.get("held", ()))} if waiting else {}
            state = {**state, **own, "held": packed}
        states[number] = state
    if shards:
        states[base] = {**states[base], "shards": streams[base].shards(shards)}
    return states


def _state_of(stage: OpenStage, stream: Any) -> Any:
    name, described, _ = stage
    state: Callable[[], Any] | None = getattr(stream, "state", None)
    if state is None:
        raise SpecError(f"nobody knows what {name} keeps between two items")
    found = state()
    if found is not None and not hasattr(described, "reopen"):
        raise SpecError(f"{name} has a state, and no `reopen` that takes it")
    return found


def require_states(stages: Sequence[OpenStage], streams: Sequence[Any]) -> None:
    """Raises SpecError where items that come out of these cannot be made again by themselves. The first gives samples or items."""
    for (name, _, _), stream in zip(stages, streams, strict=True):
        if getattr(stream, "state", None) is None:
            raise SpecError(f"nobody knows what {name} keeps between two items")
    _require_again([*stages, ("a stage behind it", None, None)], streams[0])  # type: ignore[list-item] # only its name is looked at


def _require_again(stages: Sequence[OpenStage], base: Any) -> None:
    """Whether what the last one of these holds can be made again."""
    *before, (name, _, _) = stages
    if not hasattr(base, "shards"):
        raise SpecError(f"{name} holds items of {before[0][0]}, which cannot be read again by themselves")
    batches_behind(before[1:], getattr(base, "batches", NO_BATCHES))
    for earlier, stage, _ in before[1:]:
        if getattr(stage, "takes_apart", False):
            raise SpecError(f"{name} holds a part of what {earlier} takes apart")
        own = type(stage).__module__.startswith("asyncwds.")
        if not own and hasattr(stage, "reopen") and not hasattr(stage, "gives_what_it_takes"):
            raise SpecError(f"{name} holds items that came through {earlier}, which does not say whether it gives_what_it_takes")


NO_BATCHES, BATCHES, SHUFFLED_BATCHES = range(3)


def batches_behind(stages: Sequence[OpenStage], found: int) -> int:
    """Whether what comes out of the stages is batches, of which the last is smaller, and where that is not known any more.

    Raises SpecError where such are collected again: from the samples alone nobody knows which of them were together.
    """
    for name, stage, _ in stages:
        if getattr(stage, "gathered", None) is not None:
            if found == SHUFFLED_BATCHES:
                raise SpecError(f"{name} collects batches that were shuffled, of which the last one of a pass may be smaller")
            found = max(found, BATCHES if getattr(stage, "partial", True) else found)
        elif found == BATCHES and getattr(stage, "gives_what_it_takes", False):
            found = SHUFFLED_BATCHES
    return found


class Reopening:
    """Opens the stages of a pass from their states. The requests for what they held are made at once, all together."""

    def __init__(self, stages: Sequence[OpenStage], states: States, base: int, marks: Marks | None = None) -> None:
        if len(states) != len(stages):
            raise SpecError(f"the state is damaged: it has {len(states)} stages, and there are {len(stages)} here")
        self._stages = stages
        self._marks = marks
        self._states = states
        self._base = base
        self._refs = {
            number: unpack_refs(state["held"])
            for number, state in enumerate(states)
            if isinstance(state, Mapping) and state.get("held")
        }
        self.again: dict[int, ChainedStream] = {}
        """The sources of stages that held something."""
        self._samples: Any = None
        if self._refs:
            _, head, context = stages[base]
            self._samples = _made_again(head, context, self._refs, states[base])

    def open(self, number: int, source: Stream) -> Stream:
        _, stage, context = self._stages[number]
        state = self._states[number]
        if state is None:
            return stage.open(source, context)
        refs = self._refs.get(number, [])
        if refs:
            source = self.again[number] = ChainedStream(self._again(number, refs), refs, source)
            if "row" in state and self._leaves_out(number):
                state = {**state, "row": self._given_rows(state, refs[0])}
            state = {**state, "held": refs[: state.get("own", len(refs))]}
        resumable = cast("ResumableStage", stage)  # it is one, or there would be no state
        stream: Any = resumable.reopen(source, context, state)
        if number == self._base and self._samples is not None:
            stream.know(self._samples.shards)
        opened: Stream = stream
        return opened

    def _again(self, number: int, refs: list[tuple[Ref, ...]]) -> Iterator[Stream]:
        """What was made of these samples. Those of an item that was made of several go through the stages by themselves."""
        if self._leaves_out(number):
            self._leave_out(refs)
        groups = [refs] if all(len(item) == 1 for item in refs) else [[item] for item in refs]
        for group in groups:
            single = all(len(item) == 1 for item in group)
            stream = self._samples.stream(list(chain.from_iterable(group)), single=single)
            stream = through_stages(stream, self._stages[self._base + 1 : number])
            yield CheckedStream(stream, group, self._stages[number][0])

    def _leaves_out(self, number: int) -> bool:
        """Whether marks do not come so far."""
        return self._samples.leaves_out if self._marks is None else number > self._marks.until

    def _leave_out(self, refs: list[tuple[Ref, ...]]) -> None:
        """Of what a stage held, samples that are not wanted any more: of batches that are made again there are fewer then."""
        tally = self._stages[self._base][2].counters.tally
        kept: list[tuple[Ref, ...]] = []
        for item in refs:
            marks = {ref: sample for ref in item if is_mark(sample := self._samples.sample(ref))}
            for ref, mark in marks.items() if self._marks is not None else ():
                tally.leave_out(mark["__url__"], mark["__key__"], ref)
            if len(marks) < len(item):
                kept.append(tuple([ref for ref in item if ref not in marks]))
        refs[:] = kept

    def _given_rows(self, state: Mapping[str, Any], refs: tuple[Ref, ...]) -> int:
        """How many rows of a batch that is taken apart were given, of those that are still in it."""
        given = [not is_mark(self._samples.sample(ref)) for ref in refs]
        if all(given):
            return int(state["row"])
        if state.get("rows") != len(refs):
            raise SpecError("a batch that is taken apart has samples that are to be left out: nobody knows which rows are theirs")
        return sum(given[: state["row"]])


Refs = dict[int, list[tuple[Ref, ...]]]
"""Of each stage, what the items were made of that it held."""


def _made_again(head: Any, context: RunContext, held: Refs, state: Any) -> Any:
    """What was held, of the stage that gives samples. The samples of datasets within are numbered as here."""
    if hasattr(head, "read_again"):
        return head.read_again(context, set(chain.from_iterable(chain.from_iterable(held.values()))), state)
    from asyncwds.pipeline.making_again import DatasetsAgain  # noqa: PLC0415 - few need it

    numbers = context.within.numbered_as_here(state) if context.within is not None else {}
    for refs in held.values():
        refs[:] = [tuple([renumbered(ref, numbers) for ref in item]) for item in refs]
    return DatasetsAgain(head, context, set(chain.from_iterable(chain.from_iterable(held.values()))), state)


def through_stages(stream: Stream, stages: Sequence[OpenStage]) -> Stream:
    """What they make of single items, which is counted nowhere."""
    for _, stage, context in stages:
        if not getattr(stage, "gives_what_it_takes", False):
            stream = stage.open(stream, replace(context, counters=Counters(), checks=[]))
    return stream


class CheckedStream:
    """The items of a stream. Raises SpecError unless they are made of these samples, in this order."""

    def __init__(self, stream: Stream, refs: list[tuple[Ref, ...]], holder: str) -> None:
        self._stream = stream
        self._refs = refs
        self._holder = holder
        self.lineage, self.close, self.interrupt = stream.lineage, stream.close, stream.interrupt
        self._items = self._checked()

    def __iter__(self) -> Iterator[Any]:
        return self._items

    def __next__(self) -> Any:
        return next(self._items)

    def _checked(self) -> Iterator[Any]:
        number = 0
        for item in self._stream:
            made_of = tuple([origin for _, _, origin in trace_of(item, self._stream)])
            if number == len(self._refs) or made_of != self._refs[number]:
                raise SpecError(f"{self._of_what()} other items of them now, or in another order")
            number += 1
            yield item
        if number != len(self._refs):
            raise SpecError(f"{self._of_what()} {number} items of them now")

    def _of_what(self) -> str:
        return f"{self._holder} held {len(self._refs)} items, and the stages before it, which must do the same each time, make"


class ChainedStream:
    """The items of some streams, which were made of these samples, and then those of another stream."""

    def __init__(self, first: Iterable[Any], refs: list[tuple[Ref, ...]], then: Stream) -> None:
        self._first = first
        self._refs = refs
        self._given = 0
        self._then = then
        self._current: Any = then
        self._items: Iterator[Any] = iter(())
        self.interrupt = then.interrupt

    def __iter__(self) -> Iterator[Any]:
        # By `chain` the later items cost 10 ns each.
        self._items = chain(self._of_first(), self._then)
        return self._items

    def __next__(self) -> Any:
        return next(self._items)

    def _of_first(self) -> Iterator[Any]:
        for stream in self._first:
            self._current = stream
            try:
                for item in stream:
                    self._given += 1
                    yield item
            finally:
                stream.close()
        self._current = self._then

    def waiting(self) -> list[tuple[Ref, ...]]:
        """What the first items that were not asked for yet are made of."""
        return self._refs[self._given :]

    def lineage(self) -> tuple[SampleTrace, ...]:
        found: tuple[SampleTrace, ...] = self._current.lineage()
        return found

    def close(self) -> None:
        self._then.close()
