"""Shards into samples, by the engine: as the beginning of a pipeline, and as a stage behind one that gives shards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Generator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any

from asyncwds.engine.bridge import Bridge, OpenSource
from asyncwds.engine.source import Source, loop_factory
from asyncwds.engine.stream import BlockStream, window_bytes
from asyncwds.errors import SpecError
from asyncwds.model import Place, Sample, Shard
from asyncwds.pipeline.parallel import Feed
from asyncwds.pipeline.passes import Pass
from asyncwds.stats import Counters
from asyncwds.urls import local_path


def samples_from(source: Source, current: Pass) -> Iterator[Sample]:
    """The source's samples of an epoch at a place. It begins to fetch before the first is asked for."""
    bridge = _bridge(partial(source.open, current.epoch, current.place, current.counters), source, current)
    return _samples_of(bridge, source, current.counters)


@dataclass(frozen=True)
class TarSamples:
    """Shards → their samples, in the order in which the shards come: urls, or dicts with a `url`.

    The engine reads ahead over the shards to come, and takes no more of them than it can begin to read. They are drawn by a
    thread of their own: whoever gives them may block. While a local file is read the next shard is not asked for: it may
    be another one's turn to delete the file then.

    `source` says how shards are read; its urls are not used.
    """

    source: Source

    def __call__(self, shards: Iterable[Any]) -> Iterator[Sample]:
        return self.read_within(iter(shards), Pass(0, 0, Place(), Counters()))

    def read_within(self, shards: Iterator[Any], current: Pass) -> Iterator[Sample]:
        """The same in a pass over a pipeline, which can interrupt it."""
        feed = current.hold(Feed(_shards(shards)))
        bridge = None
        try:
            bridge = _bridge(partial(self._open, feed, current.counters), self.source, current)
            yield from _samples_of(bridge, self.source, current.counters)
        finally:
            if bridge is not None:
                bridge.close()
            feed.close()

    @asynccontextmanager
    async def _open(self, feed: Feed[Shard], counters: Counters) -> AsyncIterator[BlockStream]:
        shards = one_local_at_a_time(feed, self.source.prefetch.interleave, counters)
        async with self.source.read(shards, counters) as stream:
            feed.start(asyncio.get_running_loop(), stream.more_shards)
            yield stream


def one_local_at_a_time(shards: Iterator[Shard | None], lanes: int, counters: Counters) -> Iterator[Shard | None]:
    """Gives None in place of asking for more while `lanes` shards are open and the latest of them is a local file."""
    before = counters.shards + counters.shards_failed
    given, local = 0, False
    while True:
        if local and given - (counters.shards + counters.shards_failed - before) >= lanes:
            yield None
            continue
        try:
            shard = next(shards)
        except StopIteration:
            return
        if shard is not None:
            given, local = given + 1, local_path(shard.url) is not None
        yield shard


def _bridge(opened: OpenSource, source: Source, current: Pass) -> Bridge:
    return current.hold(
        Bridge(
            opened,
            window=window_bytes(source.prefetch),
            counters=current.counters,
            loop_factory=loop_factory(source.prefetch),
        )
    )


def _samples_of(bridge: Bridge, source: Source, counters: Counters) -> Iterator[Sample]:
    for block in bridge:
        yield from block.samples
        if block.error is not None and not source.goes_on_after(block, counters):
            return
    source.check_not_empty(counters)


def _shards(items: Iterator[Any]) -> Generator[Shard]:
    number = count()
    for item in items:
        url = item.get("url") if isinstance(item, Mapping) else item
        if not isinstance(url, str):
            raise SpecError(f"shards to read are urls, or dicts with a url, not {type(item).__name__}: {item!r}")
        yield Shard(url, next(number))
