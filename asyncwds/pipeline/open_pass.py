"""The stages of a description, opened for one pass: their streams, and what these tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any

from asyncwds.engine.positions import HeldShard
from asyncwds.errors import SpecError
from asyncwds.pipeline.adapt import first_needed, last_reader, last_splitter
from asyncwds.pipeline.clock import StageClock, stage_name
from asyncwds.pipeline.context import NoItems, RunContext, keeps_nothing, passing
from asyncwds.pipeline.description import Description
from asyncwds.pipeline.fingerprint import skips_within
from asyncwds.pipeline.protocol import Stage, Stream
from asyncwds.pipeline.reporting import held_samples
from asyncwds.pipeline.resuming import ChainedStream, OpenStage, Reopening, States, batches_behind, collect_states, require_states
from asyncwds.pipeline.skip_list import SkipList
from asyncwds.pipeline.skipping import Marks, marks_of, without_marks
from asyncwds.pipeline.within import NumberedStream


class OpenPass:
    """It begins to fetch when it is made. With `states` it goes on from these; `last` leaves out the stages from that one on."""

    def __init__(
        self,
        description: Description,
        stages: Sequence[Stage],
        context: RunContext,
        clock: StageClock,
        *,
        states: States | None = None,
        last: int | None = None,
        inner: bool = False,
    ) -> None:
        self._described = description.stages
        self._skip = description.skip
        self._stages = stages
        self._context = context
        self._tally = context.counters.tally
        # What stands before a stage that reads shards runs beside the others, in a thread of its own.
        self._reader = last_reader(stages)
        self._needed = first_needed(stages, context)
        self._base = max(self._needed, self._reader, 0)
        self._tally.before_samples = frozenset(map(stage_name, self._described[: self._base]))
        self._streams: dict[int, Any] = {}
        self._again: dict[int, ChainedStream] = {}
        self._opened = with_contexts(stages, description, context)
        stream = self._open(clock, states, last)
        self.stream = passing(clock.watched, self._numbered(stream) if inner else stream)

    def _open(self, clock: StageClock, states: States | None, last: int | None) -> Stream:
        marks = self._marks()
        if marks is not None:
            self._opened = [
                (name, stage, marks.context(number, self._base, own)) for number, (name, stage, own) in enumerate(self._opened)
            ]
        reopening = None if states is None else Reopening(self._opened, states, self._base, marks)
        self._again = {} if reopening is None else reopening.again
        stream: Stream = NoItems(self._context.resources)
        for number, (_, stage, own) in enumerate(self._opened[:last]):
            if number < self._needed:
                continue
            stream = stage.open(stream, own) if reopening is None else reopening.open(number, stream)
            self._streams[number] = stream
            if number > self._reader:
                stream = passing(partial(clock.measured, number=number, stage=self._described[number]), stream)
            if marks is not None and number == marks.until:
                stream = passing(partial(without_marks, tally=self._tally), stream)
        if context_within := self._context.within:
            context_within.numbers.wanted |= any(map(_may_hold, self._behind()))
        return stream

    def _behind(self) -> list[Any]:
        return [stream for number, stream in self._streams.items() if number > self._base]

    def _numbered(self, stream: Stream) -> Stream:
        """With the number of this pass in what comes out of it, for stages behind it in another pipeline."""
        within, base = self._context.within, self._streams[self._base]
        if within is None:
            return stream
        try:
            require_states(self._opened[self._base :], [base, *self._behind()])
            numbers = within.numbers
            numbers.batches = max(numbers.batches, batches_behind(self._opened[self._base + 1 :], getattr(base, "batches", 0)))
        except SpecError as error:
            within.numbers.refusal = error.message
            return NumberedStream(stream, within.numbers, 0)
        if not hasattr(base, "known"):  # those that it begins with have numbers
            return stream
        number = numbers.number(within.path)
        numbers.follow(number, base.urls, base.known)
        return NumberedStream(stream, numbers, number)

    def _marks(self) -> Marks | None:
        """How far those go that come in the place of samples that are left out. Raises SpecError where nothing would be."""
        if self._skip is None:
            return None
        if not hasattr(self._stages[self._base], "read_again") and not self._needed and isinstance(self._skip, SkipList):
            name = stage_name(self._described[self._base])
            raise SpecError(
                f"skip leaves out samples where shards are read, and this begins with {name}: give it to the datasets within"
            )
        return None if self._context.skipping is None else marks_of(self._stages, self._base)

    def states(self) -> States:
        """Of each stage. Raises SpecError where one has none, which says why."""
        return collect_states(self._opened, self._streams, self._base, self._again)

    @property
    def head(self) -> Any:
        """The stream of what stands first; None where nothing is asked of that."""
        return self._streams.get(0)

    def beginning(self) -> Any:
        """The state with which what stands first began the pass, where it tells."""
        tell: Callable[[], Any] | None = getattr(self.head, "beginning", None)
        return None if tell is None else tell()

    def held(self) -> int | None:
        """Samples that stages have taken and not given; None where nobody knows."""
        return held_samples(self._behind())

    def items_held(self) -> int:
        """By stages that may hold many, without a look at what they are."""
        return sum([stream.number_held() for stream in self._behind() if hasattr(stream, "number_held")])

    def known_shards(self) -> Mapping[int, HeldShard]:
        """Those of which samples were given, by index, as far as the stage that reads them says it."""
        known: Callable[[], Mapping[int, HeldShard]] = getattr(self._streams.get(self._base), "known", dict)
        return known()

    def kept(self) -> tuple[int, int | None] | None:
        """The number of the stage that gives what it kept, and the epoch of the pass that made it; None if none does."""
        stage: Any = self._stages[self._needed]
        return (self._needed, stage.made_in(self._context)) if self._needed else None

    @property
    def weight_changes(self) -> int:
        """How often weights of a mix were set by hand: what was made before and after that is not made again alike."""
        stage: Any = self._stages[self._base]
        return int(stage.weight_changes()) if hasattr(stage, "weight_changes") else 0

    @property
    def drops_right(self) -> bool:
        """Whether items that are made again are the same ones."""
        stage: Any = self._stages[self._base]
        if any(self._skips_within):  # of which nobody here knows what they left out
            return False
        if hasattr(stage, "repeats"):
            return bool(stage.repeats())
        source = getattr(stage, "source", None)
        return source is not None and source.prefetch.order == "plan"

    @cached_property
    def _skips_within(self) -> list[str | None]:
        return skips_within(self._described[0])

    def forget(self) -> None:
        """Keeps nothing that stages hold; the stream is still to be closed."""
        self._streams, self._again = {}, {}


def _may_hold(stream: Any) -> bool:
    return getattr(stream, "state", None) not in (None, keeps_nothing)


def with_contexts(stages: Sequence[Stage], description: Description, context: RunContext) -> list[OpenStage]:
    """The stages of a description, each with its name and what it is opened with."""
    splitter = last_splitter(stages)
    # Two unseeded shuffles in one pipeline must not pick alike.
    return [
        (name, stage, context.of_stage(name, context.seed + max(0, number - 1), same_for_all=number < splitter))
        for number, (stage, name) in enumerate(zip(stages, map(stage_name, description.stages), strict=True))
    ]


def epoch_of_pass(epoch: int, number: int) -> int:
    """The passes of one iteration must not have the orders of the next iterations."""
    return epoch + (number << 32)
