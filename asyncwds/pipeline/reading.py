"""Shards into samples, by the engine: as the beginning of a pipeline, and as a stage behind one that gives shards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from functools import partial
from itertools import count, islice
from typing import Any, ClassVar, NamedTuple

from asyncwds.bridges.block_bridge import Bridge
from asyncwds.bridges.threaded_source import Feed
from asyncwds.engine.positions import Delivered, HeldShard, Position, as_json, from_json, pack_shards, with_limits
from asyncwds.engine.source import Source
from asyncwds.engine.stream import BlockStream, turn_samples
from asyncwds.errors import SpecError
from asyncwds.formatting.reprs import show_value
from asyncwds.pipeline.context import RunContext
from asyncwds.pipeline.held import Ref
from asyncwds.pipeline.protocol import JsonValue, Stream
from asyncwds.pipeline.reading_again import SamplesAgain, SingleSamples, held_of, open_bridge
from asyncwds.pipeline.streams import ResumableStageStream, StageStream, stream_over
from asyncwds.runtime.counters import Counters
from asyncwds.runtime.tally import Plan, no_samples
from asyncwds.samples import Sample
from asyncwds.shards.directory import ClaimedShard
from asyncwds.shards.plan import Resampled
from asyncwds.shards.shard import Shard
from asyncwds.shards.urls import local_path

LOOK_AGAIN = 0.005  # [s]
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
            share = remainder.share(place, own.seed, epoch, own.records)
            shards = iter(share.shards)
            alone = SingleSamples(share.samples, remainder.held, given, partial(SamplesAgain, own, context))
        passed = 0 if start is None else start.entered
        if start is not None and own.split is not None:
            start, passed = with_limits(start, list(islice(shards, passed))), 0
        begin = partial(own.read, islice(shards, passed, None), context.counters, start)
        bridge = None if late or (alone is not None and alone.left) else open_bridge(begin, own, context)
        run = ReadRun(own, context, start, alone, self._plan(context))
        return ReadStream(StageStream(lambda: run.items(lambda: bridge or open_bridge(begin, own, context)), source), run)

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


@dataclass(frozen=True)
class TarSamples:
    """Shards → their samples, in the order in which the shards come: urls, or dicts with a `url`.

    The engine reads ahead over the shards to come, and takes no more of them than it can begin to read. They are drawn by a
    thread of their own: whoever gives them may block. While a local file is read the next shard is not asked for, since it may
    be another one's turn to delete the file then; and those of a `DirectoryShardList` are let go when their samples are used.

    `source` says how shards are read; its urls are not used.
    """

    source: Source
    reads_ahead: ClassVar = True

    def __call__(self, shards: Iterable[Any]) -> Iterator[Sample]:
        context = RunContext(0)
        with closing(self.open(stream_over(shards, context.resources), context)) as stream:
            yield from stream

    def open(self, source: Stream, context: RunContext) -> ReadStream:
        return self._stream(source, context, None)

    def reopen(self, source: Stream, context: RunContext, state: JsonValue) -> ReadStream:
        return self._stream(source, context, position_of(state, ()))

    def _stream(self, source: Stream, context: RunContext, start: Position | None) -> ReadStream:
        run = ReadRun(self.source, context, start)
        return ReadStream(StageStream(lambda: self._read(source, context, run, start), source), run)

    def read_again(self, context: RunContext, refs: Iterable[Ref], state: JsonValue) -> SamplesAgain:
        return SamplesAgain(self.source, context, *held_of(refs, state, ()))

    def _read(self, shards: Stream, context: RunContext, run: ReadRun, start: Position | None) -> Generator[Sample]:
        feed = context.resources.hold(Feed(run.noting(_shards(shards))))
        bridges: list[Bridge] = []  # the one, which the engine may be running for before it is known here
        try:
            bridges.append(open_bridge(partial(self._opened, feed, bridges, context.counters, start), self.source, context))
            yield from run.items(lambda: bridges[0])
        finally:
            context.resources.close()  # before the stages that give the shards, one of which the feed may wait for

    @asynccontextmanager
    async def _opened(
        self, feed: Feed[Drawn], bridges: list[Bridge], counters: Counters, start: Position | None
    ) -> AsyncIterator[BlockStream]:
        loop = asyncio.get_running_loop()
        begun = 0 if start is None else len(start.open)
        drawing = Drawing(feed, self.source.prefetch.interleave, counters, lambda: any(bridge.drained for bridge in bridges), begun)
        async with self.source.read(drawing, counters, start) as stream:
            drawing.look_again = partial(loop.call_later, LOOK_AGAIN, stream.more_shards)
            feed.start(loop, stream.more_shards)
            yield stream


class Drawn(NamedTuple):
    shard: Shard
    claimed: bool


class Drawing(Iterator[Shard | None]):
    """The shards of a feed, with None in place of asking for the next one too early.

    That is while `slots` shards are open and the latest is a local file; and for one that was claimed, until the consumer is
    done with its samples (`drained`). When that is nobody says: `look_again` calls for another look in a while.
    """

    def __init__(
        self, feed: Iterator[Drawn | None], slots: int, counters: Counters, drained: Callable[[], bool], begun: int = 0
    ) -> None:
        self.look_again: Callable[[], object] = lambda: None
        self._feed = feed
        self._slots = slots
        self._counters = counters
        self._drained = drained
        self._before = counters.shards + counters.shards_failed
        self._given = begun
        self._latest: Drawn | None = None

    def __next__(self) -> Shard | None:
        if self._latest is not None and not self._may_go_on(self._latest):
            return None
        drawn = next(self._feed)
        if drawn is None:
            return None
        if drawn.claimed and self._slots > 1:
            raise SpecError(
                "a folder of shards that come and go is read one after the other, not with interleave", url=drawn.shard.url
            )
        self._given += 1
        self._latest = drawn
        return drawn.shard

    def _may_go_on(self, latest: Drawn) -> bool:
        open_now = self._given - (self._counters.shards + self._counters.shards_failed - self._before)
        if latest.claimed and not open_now and not self._drained():
            self.look_again()
            return False
        return open_now < self._slots or local_path(latest.shard.url) is None


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
        return self._delivered.known

    def shards(self, indexes: Iterable[int]) -> JsonValue:
        """What is known of shards of which samples are held."""
        known = self._delivered.known
        return pack_shards(known if self._alone is None else {**self._alone.held, **known}, sorted(indexes), self._source.urls)


class ReadStream(ResumableStageStream):
    """A stream whose samples can be read again."""

    def __init__(self, stream: StageStream, run: ReadRun) -> None:
        super().__init__(stream, run.state)
        self.shards, self.know, self.known = run.shards, run.know, run.known


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


def _shards(items: Iterator[Any]) -> Generator[Drawn]:
    number = count()
    for item in items:
        url = item.get("url") if isinstance(item, Mapping) else item
        if not isinstance(url, str):
            raise SpecError(f"shards to read are urls, or dicts with a url, not {type(item).__name__}: {item!r}")
        yield Drawn(Shard(url, next(number)), isinstance(item, ClaimedShard))
