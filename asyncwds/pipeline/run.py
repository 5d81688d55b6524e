"""Runs a description: passes over the data, each through the stages."""

from __future__ import annotations

import sys
from collections.abc import Callable, Container, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import count, islice
from time import monotonic
from typing import Any, NamedTuple
from weakref import finalize

from asyncwds.engine.positions import HeldShard
from asyncwds.engine.source import Source
from asyncwds.errors import SpecError
from asyncwds.pipeline.adapt import adapt_all, first_needed, last_reader, last_splitter
from asyncwds.pipeline.clock import StageClock, stage_name
from asyncwds.pipeline.context import Resources, RunContext
from asyncwds.pipeline.description import Description
from asyncwds.pipeline.fingerprint import skips_within
from asyncwds.pipeline.lineage import SampleTrace
from asyncwds.pipeline.progress import PassState, Progress
from asyncwds.pipeline.protocol import ReplayingStage, Stage, Stream
from asyncwds.pipeline.remainder import Remainder, passes_of, remainder_of
from asyncwds.pipeline.reporting import held_samples
from asyncwds.pipeline.resuming import ChainedStream, OpenStage, Reopening, collect_states
from asyncwds.pipeline.skip_list import SkipList
from asyncwds.pipeline.skipping import Marks, marks_of, without_marks
from asyncwds.pipeline.streams import NoItems, passing
from asyncwds.runtime.counters import Counters
from asyncwds.runtime.tally import Tally
from asyncwds.runtime.worker_info import WorkerInfo

CHEAP_SECONDS = 0.0001
SHARE = 100  # of what many states in a row may cost, for those that are not cheap


class Recent(NamedTuple):
    """A state that took a while: until some time later others are that one and a number of items to drop."""

    state: PassState
    total: int
    until: float
    changes: int
    left_out: int  # before it


@dataclass(slots=True)
class Account:
    """What is left of an iteration when it is closed or dropped. Whoever asks for its state must not keep it open."""

    latest: PassState
    closed: bool = False
    held: int | None = 0  # samples


class Run:
    """One iteration in progress. Owns one pass at a time; the first begins to fetch as soon as the run exists."""

    def __init__(  # noqa: PLR0917 - what it is made of
        self,
        description: Description,
        epoch: int,
        place: WorkerInfo,
        counters: Counters,
        publish: Callable[[], None] | None = None,
        resumed: PassState | None = None,
        base: Mapping[str, Any] | None = None,
        *,
        ended: bool = False,
    ) -> None:
        if not description.stages:
            raise SpecError("a pipeline without stages has nothing to iterate over")
        self._description = description
        self._stages = adapt_all(description.stages)
        self.epoch = epoch
        self.place = place
        self.base = base
        self._counters = counters
        self._left_before = 0  # samples that were left out before this pass
        self._clock = StageClock(counters, publish)
        finalize(self, self._clock.stop).atexit = False  # an iterator may be dropped without being closed
        self.closed = False
        self._first = self._resumed = resumed or PassState()
        self._progress = Progress(epoch)
        counters.tally.restore(self._first)
        self._before = 0  # items of passes before this one
        self._number = self._first.number
        self._failed = False
        self._recent: Recent | None = None
        self.account = Account(self._first)
        self._streams: dict[int, Any] = {}
        self._again: dict[int, ChainedStream] = {}
        self._opened: list[OpenStage] = []
        self._needed = 0  # the first stage that is opened
        self._stream: Stream = NoItems(Resources())
        if not ended and not self._first.kept:
            self._open(self._number)

    @property
    def number(self) -> int:
        """Of the pass."""
        return self._number

    def items(self, progress: Progress | None = None) -> Iterator[Any]:
        """What is left of all passes. Whoever takes the items counts them in `progress`."""
        self._progress = progress = progress or self._progress
        first = self._first
        self._before = progress.items - first.items
        not_empty = passes_of(self.base) | ({first.number} if first.has_begun else set())
        passes = repeated(self._one_pass, self._description.passes, first.number, not_empty)
        skip = first.items if first.stages is None else first.skip
        items = islice(passes, skip, None) if skip else passes
        return items if self._description.items is None else islice(items, max(0, self._description.items - progress.items))

    def state(self) -> PassState:
        """Between two items. It costs nothing that was not asked for before, and changes nothing."""
        if self.account.closed:
            return self.account.latest
        items = self._progress.items - self._before
        if self._resumed is self._first and items == self._first.items:
            return self._first
        if (
            self._recent is not None
            and not self._failed
            and monotonic() < self._recent.until
            and self._recent.changes == self.weight_changes
        ):
            since = self._progress.items - self._recent.total
            state = self._recent.state
            left_out = self._counters.tally.left_out_since(self._recent.left_out)
            return replace(state, items=state.items + since, skip=state.skip + since, left_out=left_out)
        began = monotonic()
        state = self.full_state()
        seconds = monotonic() - began
        if seconds > CHEAP_SECONDS and state.stages is not None and self.drops_right:
            self._recent = Recent(
                state, self._progress.items, began + seconds + SHARE * seconds, self.weight_changes, self._counters.tally.left_out
            )
        return state

    @property
    def weight_changes(self) -> int:
        """How often weights of a mix were set by hand: what was made before and after that is not made again alike."""
        stage: Any = self._opened[self._base][1] if self._opened else None
        return int(stage.weight_changes()) if hasattr(stage, "weight_changes") else 0

    @property
    def drops_right(self) -> bool:
        """Whether items that are made again are the same ones."""
        stage: Any = self._opened[self._base][1] if self._opened else None
        if any(self._skips_within):  # of which nobody here knows what they left out
            return False
        if hasattr(stage, "repeats"):
            return bool(stage.repeats())
        source = getattr(stage, "source", None)
        return source is not None and source.prefetch.order == "plan"

    @cached_property
    def _skips_within(self) -> list[str | None]:
        return skips_within(self._description.stages[0])

    def full_state(self) -> PassState:
        """Without items to drop, where stages tell their states."""
        items = self._progress.items - self._before
        stages, reason = None, "an error ended it" if self._failed else None
        if items and not self._failed:
            try:
                stages = collect_states(self._opened, self._streams, self._base, self._again)
            except SpecError as error:
                reason = error.message
        if stages is None and items:
            return self._read_again(items, reason)
        return PassState(self._number, items, 0, stages, None, False, self._kept(), self._counters.tally.as_json())

    def _read_again(self, items: int, reason: str | None) -> PassState:
        """From the state that this went on from, or the one in which what stands first began; else all of it.

        Then nobody knows what else a stage counts from pass to pass.
        """
        first, reads, tally = self._resumed, self._reads_shards(), self._counters.tally
        if first.stages is not None:
            before, since = first.left_out, tally.left_out_since(self._left_before)
            skip = first.skip + items - first.items
            return replace(first, items=items, skip=skip, reason=reason, reads_shards=reads, left_out=[*before, *since])
        begin = self._beginning()
        if begin is None:
            left_out = tally.left_out_since(0)
            return PassState(0, self._progress.items, 0, None, reason, reads, self._kept(), left_out=left_out)
        stages = [begin, *[None] * (len(self._stages) - 1)]
        return PassState(self._number, items, items, stages, reason, reads, self._kept())

    def _beginning(self) -> Any:
        """The state with which what stands first began the pass, where it tells."""
        tell: Callable[[], Any] | None = getattr(self._streams.get(0), "beginning", None)
        return None if tell is None else tell()

    def _reads_shards(self) -> bool:
        return last_reader(self._stages) >= 0 or getattr(self._stages[0], "reads_shards", False)

    def _kept(self) -> dict[str, int | None]:
        if not self._needed:
            return {}
        stage: Any = self._stages[self._needed]
        made = stage.made_in(self._context)
        # What this iteration made itself, it makes again.
        return {} if made is not None and made & 0xFFFFFFFF == self.epoch else {str(self._needed): made}

    @property
    def tally(self) -> Tally:
        return self._counters.tally

    @property
    def seed(self) -> int:
        return self._description.seed

    def held(self) -> int | None:
        """Samples that stages have taken and not given; None where nobody knows."""
        if self.account.closed:
            return self.account.held
        return held_samples([stream for number, stream in self._streams.items() if number > self._base])

    def known_shards(self) -> Mapping[int, HeldShard]:
        """Those of which samples were given, by index, as far as the stage that reads them says it."""
        known: Callable[[], Mapping[int, HeldShard]] = getattr(self._streams.get(self._base), "known", dict)
        return known()

    def lineage(self) -> tuple[SampleTrace, ...]:
        """The samples that the latest item was made of."""
        return self._stream.lineage()

    def interrupt(self) -> None:
        """Makes whatever waits in another thread for the source raise BridgeError."""
        self.closed = True
        self._stream.interrupt()

    def close(self) -> None:
        self._finish()
        self.closed = True
        self._stream.interrupt()  # all of it first: one stage may wait for another
        self._stream.close()
        self._clock.stop()

    def _finish(self) -> None:
        """Keeps the state, and nothing that stages hold."""
        if not self.account.closed:
            items = self._progress.items - self._before
            nobody_asks = self._progress.ended or sys.is_finalizing()  # where the process ends, nothing can be imported any more
            self.account.latest = PassState(self._number, items, stages=self._head_state()) if nobody_asks else self.state()
            self.account.held = self.held()
            self._counters.tally.settle()
            self.account.closed = True
            self._streams, self._again = {}, {}

    def _head_state(self) -> list[Any] | None:
        """At the end: of the datasets that it begins with, which merging needs to know of all places."""
        stream: Any = self._streams.get(0)
        if stream is None:  # it had ended before
            return self._first.stages
        if not hasattr(stream, "beginning") or sys.is_finalizing():
            return None
        try:
            return [stream.state(), *[None] * (len(self._stages) - 1)]
        except SpecError:
            return None

    def _open(self, number: int) -> None:
        self._number = number
        self._left_before = self._counters.tally.left_out
        self._counters.tally.epoch = epoch = epoch_of_pass(self.epoch, number)
        skip = self._description.skip
        skipping = None if skip is None else skip.of_pass(epoch)
        self._context = replace(self._context_of(epoch), remainder=self._remainder(number), skipping=skipping)
        self._stream = self._open_stages(self._context, self._resumed.stages)

    def _remainder(self, number: int) -> Remainder | None:
        head = self._description.stages[0]
        return remainder_of(self.base, number, head.urls) if isinstance(head, Source) else None

    def _context_of(self, epoch: int) -> RunContext:
        return RunContext(self._description.seed, epoch, self.place, self._counters)

    def _open_stages(self, context: RunContext, states: list[Any] | None, last: int | None = None) -> Stream:
        stages, clock = self._stages, self._clock
        # What stands before a stage that reads shards runs beside the others, in a thread of its own.
        first, reader = first_needed(stages, context), last_reader(stages)
        self._needed = first
        self._base = max(first, reader, 0)
        self._counters.tally.before_samples = frozenset(map(stage_name, self._description.stages[: self._base]))
        self._opened = with_contexts(self._stages, self._description, context)
        marks = self._marks(context)
        if marks is not None:
            self._opened = [
                (name, stage, marks.context(each, self._base, own)) for each, (name, stage, own) in enumerate(self._opened)
            ]
        reopening = None if states is None else Reopening(self._opened, states, self._base, marks)
        self._again = {} if reopening is None else reopening.again
        stream: Stream = NoItems(context.resources)
        for number, (_, stage, own) in enumerate(self._opened[:last]):
            if number < first:
                continue
            stream = stage.open(stream, own) if reopening is None else reopening.open(number, stream)
            self._streams[number] = stream
            if number > reader:
                stream = passing(partial(clock.measured, number=number, stage=self._description.stages[number]), stream)
            if marks is not None and number == marks.until:
                stream = passing(partial(without_marks, tally=self._counters.tally), stream)
        return passing(clock.watched, stream)

    def _marks(self, context: RunContext) -> Marks | None:
        """How far those go that come in the place of samples that are left out. Raises SpecError where nothing would be."""
        skip = self._description.skip
        if skip is None:
            return None
        if not hasattr(self._stages[self._base], "read_again") and not self._needed and isinstance(skip, SkipList):
            name = stage_name(self._description.stages[self._base])
            raise SpecError(
                f"skip leaves out samples where shards are read, and this begins with {name}: give it to the datasets within"
            )
        return None if context.skipping is None else marks_of(self._stages, self._base)

    def _keep_again(self, kept: Mapping[str, int | None]) -> None:
        """Reads the pass of which a stage kept all, where that is not there any more."""
        for number, epoch in kept.items():
            stage = self._stages[int(number)]
            if isinstance(stage, ReplayingStage) and not stage.replays(self._context_of(self.epoch)):
                if epoch is None:
                    raise SpecError(f"{stage_name(self._description.stages[int(number)])} does not have any more what it kept")
                self._stream = self._open_stages(self._context_of(epoch), None, int(number) + 1)
                for _ in self._stream:
                    pass
                self._stream.close()

    @contextmanager
    def _one_pass(self, number: int) -> Iterator[Stream]:
        if number != self._first.number:
            self._before = self._progress.items
            self._resumed = PassState()
            self._open(number)
        elif self._first.kept:
            self._keep_again(self._first.kept)
            self._open(number)
        if self.closed:  # by another thread, perhaps meanwhile
            self._stream.interrupt()
        try:
            yield self._stream
            # What was left out of a pass that was gone on with, nobody knows.
            partly = self._resumed.has_begun or self._context.remainder is not None
            if getattr(self._stages[0], "empty_check", None) is not False and not partly:
                for check in self._context.checks:
                    check()
        except GeneratorExit:
            self._finish()
            raise
        except BaseException:
            self._failed = True
            raise
        finally:
            self._stream.interrupt()
            self._stream.close()


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


def repeated(
    one_pass: Callable[[int], AbstractContextManager[Iterable[Any]]],
    passes: int | None,
    first: int = 0,
    not_empty: Container[int] = (),
) -> Generator[Any, None, None]:
    """The items of so many passes, each opened by its number; without end if that is None.

    One that gives nothing ends them, so that repeating an empty dataset does not spin, but for those of which others gave some.
    """
    for number in count(first) if passes is None else range(first, passes):
        empty = number not in not_empty
        with one_pass(number) as items:
            for item in items:
                empty = False
                yield item
        if empty:
            return
