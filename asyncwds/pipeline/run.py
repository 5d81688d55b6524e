"""Runs a description: passes over the data, each through the stages."""

from __future__ import annotations

import sys
from collections.abc import Callable, Container, Generator, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from itertools import count, islice
from time import monotonic
from typing import Any, NamedTuple
from weakref import finalize

from asyncwds.engine.positions import HeldShard
from asyncwds.engine.source import Source
from asyncwds.errors import SpecError
from asyncwds.pipeline.adapt import adapt_all, last_reader
from asyncwds.pipeline.clock import StageClock, stage_name
from asyncwds.pipeline.context import NoItems, Resources, RunContext
from asyncwds.pipeline.description import Description, PassState, Progress
from asyncwds.pipeline.lineage import SampleTrace
from asyncwds.pipeline.open_pass import OpenPass, epoch_of_pass
from asyncwds.pipeline.protocol import ReplayingStage, Stream
from asyncwds.pipeline.remainder import Remainder, passes_of, remainder_of
from asyncwds.pipeline.within import PassNumbers, Within
from asyncwds.runtime.counters import Counters
from asyncwds.runtime.tally import Tally
from asyncwds.runtime.worker_info import WorkerInfo

CHEAP_SECONDS = 0.0001
SHARE = 200  # of what many states in a row may cost, for those that are not cheap
MANY = 2500  # items that stages hold: a state of so many takes a while
HELD_SECONDS = 4e-7  # that each of them takes in a state


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
        within: Within | None = None,
    ) -> None:
        """`within` is where in another pipeline it stands."""
        if not description.stages:
            raise SpecError("a pipeline without stages has nothing to iterate over")
        self._description = description
        self._stages = adapt_all(description.stages)
        self.epoch = epoch
        self.place = place
        self.base = base
        self._counters = counters
        self._outer = within
        self._left_before = 0  # samples that were left out before this pass
        self._clock = StageClock(counters, publish)
        finalize(self, self._clock.stop).atexit = False  # an iterator may be dropped without being closed
        self.closed = False
        self._first = self._resumed = resumed or PassState()
        self._progress = Progress(epoch)
        counters.tally.restore(self._first)
        self._before = 0  # items of passes before this one
        self.number = self._first.number  # of the pass
        self._failed = False
        self._recent: Recent | None = None
        self._opened = monotonic()
        self.account = Account(self._first)
        self._pass: OpenPass | None = None
        self._stream: Stream = NoItems(Resources())
        if not ended and not self._first.kept:
            self._open(self.number)

    def items(self, progress: Progress | None = None) -> Generator[Any]:
        """What is left of all passes. Whoever takes the items counts them in `progress`."""
        self._progress = progress = progress or self._progress
        first = self._first
        self._before = progress.items - first.items
        not_empty = set() if self.base is None else passes_of(self.base)
        if first.has_begun:
            not_empty.add(first.number)
        passes = repeated(self._one_pass, self._description.passes, first.number, not_empty)
        skip = first.items if first.stages is None else first.skip
        count = None if self._description.items is None else max(0, self._description.items - progress.items)
        return passes if count is None and not skip else _part_of(passes, skip, count)

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
            return self._since(self._recent)
        if self._has_just_begun():
            return self._read_again(items, None)
        began = monotonic()
        state = self.full_state()
        seconds = monotonic() - began
        if seconds > CHEAP_SECONDS and state.stages is not None and self.drops_right:
            self._recent = Recent(
                state, self._progress.items, began + seconds + SHARE * seconds, self.weight_changes, self._counters.tally.left_out
            )
        return state

    def _since(self, recent: Recent) -> PassState:
        since, state = self._progress.items - recent.total, recent.state
        left_out = self._counters.tally.left_out_since(recent.left_out)
        items, skip, same = state.items + since, state.skip + since, (state.reason, state.reads_shards, state.kept, state.tally)
        return PassState(state.number, items, skip, state.stages, *same, left_out)

    def recent(self) -> Recent | None:
        """From which the state is told now, if nothing was left out since."""
        recent = self._recent
        if recent is None or self._failed or self.account.closed or self._progress.ended or monotonic() >= recent.until:
            return None
        same = recent.changes == self.weight_changes and recent.left_out == self._counters.tally.left_out
        return recent if same and not recent.state.left_out else None

    def _has_just_begun(self) -> bool:
        """Where stages hold many items, the state that it began with is a recent one."""
        first = self._first
        if self._failed or self._pass is None or self.number != first.number or not self.drops_right:
            return False
        if first.stages is None and self.number:  # where a pass began nobody says
            return False
        held = self._pass.items_held()
        return held >= MANY and monotonic() < self._opened + SHARE * HELD_SECONDS * held and not self.weight_changes

    @property
    def weight_changes(self) -> int:
        return 0 if self._pass is None else self._pass.weight_changes

    @property
    def drops_right(self) -> bool:
        """Whether items that are made again are the same ones."""
        return self._pass is not None and self._pass.drops_right

    def full_state(self) -> PassState:
        """Without items to drop, where stages tell their states."""
        items = self._progress.items - self._before
        stages, reason = None, "an error ended it" if self._failed else None
        if items and not self._failed and self._pass is not None:
            try:
                stages = self._pass.states()
            except SpecError as error:
                reason = error.message
        if stages is None and items:
            return self._read_again(items, reason)
        return PassState(self.number, items, 0, stages, None, False, self._kept(), self._counters.tally.as_json())

    def _read_again(self, items: int, reason: str | None) -> PassState:
        """From the state that this went on from, or the one in which what stands first began; else all of it.

        Then nobody knows what else a stage counts from pass to pass.
        """
        first, reads, tally = self._resumed, self._reads_shards(), self._counters.tally
        if first.stages is not None:
            before, since = first.left_out, tally.left_out_since(self._left_before)
            skip = first.skip + items - first.items
            return replace(first, items=items, skip=skip, reason=reason, reads_shards=reads, left_out=[*before, *since])
        begin = None if self._pass is None else self._pass.beginning()
        if begin is None:
            left_out = tally.left_out_since(0)
            return PassState(0, self._progress.items, 0, None, reason, reads, self._kept(), left_out=left_out)
        stages = [begin, *[None] * (len(self._stages) - 1)]
        return PassState(self.number, items, items, stages, reason, reads, self._kept())

    def _reads_shards(self) -> bool:
        return last_reader(self._stages) >= 0 or getattr(self._stages[0], "reads_shards", False)

    def _kept(self) -> dict[str, int | None]:
        kept = None if self._pass is None else self._pass.kept()
        # What this iteration made itself, it makes again.
        if kept is None or (kept[1] is not None and kept[1] & 0xFFFFFFFF == self.epoch):
            return {}
        return {str(kept[0]): kept[1]}

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
        return 0 if self._pass is None else self._pass.held()

    def known_shards(self) -> Mapping[int, HeldShard]:
        """Those of which samples were given, by index, as far as the stage that reads them says it."""
        return {} if self._pass is None else self._pass.known_shards()

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
            self.account.latest = PassState(self.number, items, stages=self._head_state()) if nobody_asks else self.state()
            self.account.held = self.held()
            self._counters.tally.settle()
            self.account.closed = True
            if self._pass is not None:
                self._pass.forget()

    def _head_state(self) -> list[Any] | None:
        """At the end: of the datasets that it begins with, which merging needs to know of all places."""
        stream: Any = None if self._pass is None else self._pass.head
        if stream is None:  # it had ended before
            return self._first.stages
        if not hasattr(stream, "beginning") or sys.is_finalizing():
            return None
        try:
            return [stream.state(), *[None] * (len(self._stages) - 1)]
        except SpecError:
            return None

    def _open(self, number: int) -> None:
        self.number = number
        self._left_before = self._counters.tally.left_out
        self._counters.tally.epoch = epoch = epoch_of_pass(self.epoch, number)
        skip = self._description.skip
        skipping = None if skip is None else skip.of_pass(epoch)
        self._context = replace(self._context_of(epoch), remainder=self._remainder(number), skipping=skipping)
        self._pass = None
        states, inner = self._resumed.stages, self._outer is not None
        self._pass = OpenPass(self._description, self._stages, self._context, self._clock, states=states, inner=inner)
        self._stream = self._pass.stream

    def _remainder(self, number: int) -> Remainder | None:
        head = self._description.stages[0]
        return None if self.base is None or not isinstance(head, Source) else remainder_of(self.base, number, head.urls)

    def _context_of(self, epoch: int) -> RunContext:
        seed = self._description.seed
        within = Within(PassNumbers()) if self._outer is None else self._outer.step(epoch, seed)
        return RunContext(seed, epoch, self.place, self._counters, within=within)

    def _keep_again(self, kept: Mapping[str, int | None]) -> None:
        """Reads the pass of which a stage kept all, where that is not there any more."""
        for number, epoch in kept.items():
            stage = self._stages[int(number)]
            if isinstance(stage, ReplayingStage) and not stage.replays(self._context_of(self.epoch)):
                if epoch is None:
                    raise SpecError(f"{stage_name(self._description.stages[int(number)])} does not have any more what it kept")
                context = self._context_of(epoch)
                self._stream = OpenPass(self._description, self._stages, context, self._clock, last=int(number) + 1).stream
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


def _part_of(items: Iterator[Any], skip: int, count: int | None) -> Generator[Any]:
    """A generator, which can be closed."""
    yield from islice(items, skip, None if count is None else skip + count)


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
