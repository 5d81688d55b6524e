"""Shards into samples, by the engine, as a stage behind one that gives shards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any, ClassVar

from asyncwds.bridges.block_bridge import Bridge, open_bridge
from asyncwds.bridges.threaded_source import Feed
from asyncwds.engine.positions import Position
from asyncwds.engine.source import Source
from asyncwds.engine.stream import BlockStream
from asyncwds.errors import SpecError
from asyncwds.formatting.texts import show_value
from asyncwds.pipeline.context import RunContext, StageStream, stream_over
from asyncwds.pipeline.held import Ref
from asyncwds.pipeline.protocol import JsonValue, Stream
from asyncwds.pipeline.reading import Drawn, ReadRun, ReadStream, position_of
from asyncwds.pipeline.reading_again import SamplesAgain, held_of
from asyncwds.runtime.counters import Counters
from asyncwds.samples import Sample
from asyncwds.shards.directory import ClaimedShard
from asyncwds.shards.shard import Shard
from asyncwds.shards.urls import local_path

LOOK_AGAIN = 0.005  # [s]


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
            opened = partial(self._opened, feed, bridges, context.counters, start)
            bridges.append(context.resources.hold(open_bridge(opened, self.source.prefetch, context.counters)))
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


def _shards(items: Iterator[Any]) -> Generator[Drawn]:
    number = count()
    for item in items:
        url = item.get("url") if isinstance(item, Mapping) else item
        if not isinstance(url, str):
            raise SpecError(f"shards to read are urls, or dicts with a url, not {type(item).__name__}: {show_value(item)}")
        yield Drawn(Shard(url, next(number)), isinstance(item, ClaimedShard))
