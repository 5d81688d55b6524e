"""Shards into samples, by the engine, as the beginning of a pipeline."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, ClassVar, NamedTuple

from asyncwds.bridges.block_bridge import Bridge, open_bridge
from asyncwds.engine.positions import Delivered, HeldShard, Position, as_json, from_json, pack_shards, with_limits
from asyncwds.engine.source import Source
from asyncwds.engine.stream import turn_samples
from asyncwds.errors import SpecError
from asyncwds.formatting.texts import show_value
from asyncwds.pipeline.context import ResumableStageStream, RunContext, StageStream
from asyncwds.pipeline.held import Ref
from asyncwds.pipeline.protocol import JsonValue, Stream
from asyncwds.pipeline.reading_again import SamplesAgain, SingleSamples, held_of
from asyncwds.runtime.tally import Plan, no_samples
from asyncwds.samples import Sample
from asyncwds.shards.plan import Resampled
from asyncwds.shards.shard import Shard

EPOCH_BITS = 0xFFFFFFFF  # of an epoch, above which its pass is counted


@dataclass(frozen=True)
class SourceStage:
    """The samples of a source, of an epoch at a place. It begins to fetch when it is opened."""

    source: Source
    reads_ahead: ClassVar = True

    @property
    def empty_check(self) -> bool | None:
        return self.source.empty_check

    def open(self, source: Stream, context: RunContext) -> ReadStream:
        return self._opened(source, context, None, 0, late=False)

    def reopen(self, source: Stream, context: RunContext, state: JsonValue) -> ReadStream:
        """Where samples are read again first, the others are fetched when the first of them is asked for."""
        start = position_of(state, self.source.urls)
        return self._opened(source, context, start, given_alone(state), late=is_late(state))

    def _opened(self, source: Stream, context: RunContext, start: Position | None, given: int, *, late: bool) -> ReadStream:
        own, place, epoch = self.source, context.worker_info, context.epoch
        shards, alone, remainder = own.shards(epoch, place), None, context.remainder  # it may refuse the place
        if remainder is not None:
            share = remainder.share(place, own, epoch)
            shards = iter(share.shards)
            alone = SingleSamples(share.samples, remainder.held, given, partial(SamplesAgain, own, context))
        passed = 0 if start is None else start.entered
        if start is not None and (own.split is not None or remainder is not None):
            start, passed = with_limits(start, list(islice(shards, passed))), 0
        begin = partial(own.read, islice(shards, passed, None), context.counters, start)

        def opened() -> Bridge:
            return context.resources.hold(open_bridge(begin, own.prefetch, context.counters))

        bridge = None if late or (alone is not None and alone.left) else opened()
        run = ReadRun(own, context, start, alone, self._plan(context))
        return ReadStream(StageStream(lambda: run.items(lambda: bridge or opened()), source), run)

    def _plan(self, context: RunContext) -> Plan | None:
        source, epoch, place = self.source, context.epoch, context.worker_info
        if isinstance(source.draw, Resampled) or context.remainder is not None:  # without end; or nobody knows what is left
            return None
        count = source.count

        def planned() -> Iterator[tuple[int, str, int | None]]:
            for shard in source.shards(epoch, place):
                stop = count(shard.url) if shard.limit is None else shard.limit.stop
                yield shard.index, shard.url, None if stop is None else stop - (shard.begin.wanted if shard.begin else 0)

        whole_shards = bool(source.records) and source.split is None
        return Plan(planned, count if whole_shards else lambda _: None, whole_shards)

    def read_again(self, context: RunContext, refs: Iterable[Ref], state: JsonValue) -> SamplesAgain:
        return SamplesAgain(self.source, context, *held_of(refs, state, self.source.urls))


class Drawn(NamedTuple):
    shard: Shard
    claimed: bool


class ReadRun:
    """The samples of one pass, and how far whoever takes them has come. First are those of `alone`, and then those of shards."""

    def __init__(
        self,
        source: Source,
        context: RunContext,
        start: Position | None,
        alone: SingleSamples | None = None,
        plan: Plan | None = None,
    ) -> None:
        self._source = source
        self._context = context
        self._counters = counters = context.counters
        self._start = start
        self._alone = alone
        self._delivered = Delivered(turn_samples(source.prefetch), start)
        self._comes_and_goes = False
        begun = None if start is None else [(shard.sequence, shard.url, shard.wanted) for shard in start.open]
        counters.tally.begin_pass(plan, begun, 0 if start is None else start.entered)

    def items(self, bridge: Callable[[], Bridge]) -> Iterator[Sample]:
        source, counters, samples = self._source, self._counters, self._delivered.samples
        tally, skipping = counters.tally, self._context.skipping
        if self._alone is not None:
            yield from self._counted(self._alone)
        for block in bridge():
            tally.in_hand = self._delivered.in_hand
            taken = samples(block)
            yield from taken if skipping is None else skipping.marked(taken, [turn.run.shard.url for turn in block.turns])
            tally.in_hand = no_samples
            for turn in block.turns:
                tally.take(turn.run.sequence, turn.run.shard.url, turn.samples, ends=turn.ends)
            if block.error is not None and not source.handle_error(block, counters):
                break
        else:
            tally.end_pass()
            self._warn_of_missing()
        if self._start is None and self._alone is None:
            source.check_not_empty(counters)

    def _warn_of_missing(self) -> None:
        skipping, context = self._context.skipping, self._context
        if skipping is not None and self._start is None and self._alone is None:
            alone = context.worker_info.world_size == context.worker_info.num_workers == 1
            skipping.warn_of_missing(context.epoch & EPOCH_BITS, whole=alone and self._source.draw is None)

    def _counted(self, alone: SingleSamples) -> Iterator[Sample]:
        tally, before = self._counters.tally, alone.given
        tally.in_hand = lambda: alone.given - before
        yield from alone.samples()
        tally.settle()

    def noting(self, shards: Iterator[Drawn]) -> Generator[Drawn]:
        """Those that had not been begun."""
        for drawn in islice(shards, 0 if self._start is None else self._start.entered, None):
            self._counters.tally.draw()
            self._comes_and_goes = self._comes_and_goes or drawn.claimed
            yield drawn

    def state(self) -> dict[str, Any]:
        if self._comes_and_goes:
            raise SpecError(COMES_AND_GOES)
        position = as_json(self._delivered.position(), self._source.urls)
        return {"position": position} if self._alone is None else {"position": position, "alone": self._alone.given}

    def know(self, shards: Mapping[int, HeldShard]) -> None:
        """Those of which samples were held when the state was taken that this goes on from."""
        self._delivered.known.update(shards)

    def known(self) -> Mapping[int, HeldShard]:
        self._delivered.position()  # which notes that of the latest samples
        known = self._delivered.known
        return known if self._alone is None else {**self._alone.held, **known}

    def shards(self, indexes: Iterable[int]) -> JsonValue:
        """What is known of shards of which samples are held."""
        return pack_shards(self.known(), sorted(indexes), self.urls)

    @property
    def urls(self) -> Sequence[str]:
        return self._source.urls


class ReadStream(ResumableStageStream):
    """A stream whose samples can be read again."""

    def __init__(self, stream: StageStream, run: ReadRun) -> None:
        super().__init__(stream, run.state)
        self.shards, self.know, self.known, self.urls = run.shards, run.know, run.known, run.urls


COMES_AND_GOES = "the shards of a folder come and go: nobody knows which will be there"


def position_of(state: Any, urls: Sequence[str]) -> Position:
    try:
        return from_json(state["position"], urls)
    except (KeyError, TypeError) as error:
        raise SpecError(f"not the state of a stage that reads shards: {show_value(state)}") from error


def is_late(state: Any) -> bool:
    return bool(state.get("shards"))


def given_alone(state: Any) -> int:
    """How many of `SingleSamples` were given."""
    return int(state.get("alone", 0))
