"""Reads single samples again, of which it is known where they begin: by ranges, of which those that lie close are one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import groupby, pairwise

from asyncwds.engine.blocks import Block, ReadOptions
from asyncwds.engine.positions import HeldShard, mark_of
from asyncwds.engine.reader import ShardReader
from asyncwds.engine.source import Source
from asyncwds.errors import ChangedError, FetchError, WdsError
from asyncwds.runtime.counters import Counters
from asyncwds.runtime.units import KiB, MiB
from asyncwds.samples import Origin, Sample
from asyncwds.shards.shard import Shard
from asyncwds.shards.urls import local_path
from asyncwds.storage.base import Answer, Fetcher, ObjectRange

AT_ONCE = 32
"""Requests in flight."""
SPAN = 8 * MiB  # [bytes] of one request
WORTH_A_REQUEST = MiB  # [bytes] between two samples that are read rather than asked about twice
WASTE = 8 * MiB  # the most of such bytes, all together
BEHIND = 4 * KiB  # the header that ends a sample, and extended ones
LEAST = 16 * KiB


@dataclass(slots=True)
class RefetchSpan:
    """Samples of one shard that are read together, from byte `start` to about `stop`."""

    index: int
    shard: HeldShard
    wanted: list[Origin]
    stop: int
    found: list[Sample] = field(default_factory=list)

    @property
    def start(self) -> int:
        return self.wanted[0].offset if self.shard.seekable else 0


def plan_spans(places: Iterable[Origin], shards: Mapping[int, HeldShard]) -> list[RefetchSpan]:
    """Joins what lies close, the closest first, as long as no more than `WASTE` is read for nothing."""
    of_shards = [(index, list(group)) for index, group in groupby(sorted(set(places)), lambda place: place.shard)]
    sizes = {index: _usual_size(group) for index, group in of_shards}
    gaps = sorted(
        (max(0, after.offset - before.offset - sizes[index]), before)
        for index, group in of_shards
        for before, after in pairwise(group)
    )
    joined, wasted = set(), 0
    for gap, before in gaps:
        wasted += gap
        if gap > WORTH_A_REQUEST or wasted > WASTE:
            break
        joined.add(before)
    return [span for index, group in of_shards for span in _spans(index, shards[index], group, sizes[index], joined)]


def _usual_size(places: list[Origin]) -> int:
    last = places[-1]
    return last.offset // last.ordinal if last.ordinal else LEAST


def _spans(index: int, shard: HeldShard, places: list[Origin], size: int, joined: set[Origin]) -> Iterator[RefetchSpan]:
    wanted: list[Origin] = []
    for place in places:
        if wanted and shard.seekable and (wanted[-1] not in joined or place.offset - wanted[0].offset > SPAN):
            yield RefetchSpan(index, shard, wanted, _stop(wanted, size))
            wanted = []
        wanted.append(place)
    yield RefetchSpan(index, shard, wanted, _stop(wanted, size))


def _stop(wanted: list[Origin], size: int) -> int:
    return wanted[-1].offset + size + size // 4 + BEHIND


class Refetch:
    """One block of all the samples, which come when all are there. One consumer, as for `BlockStream`."""

    def __init__(self, spans: list[RefetchSpan], fetcher: Fetcher, options: ReadOptions) -> None:
        self._spans = spans
        self._fetcher = fetcher
        self._options = options
        self._free = asyncio.Semaphore(AT_ONCE)
        self._done = False

    async def next_block(self) -> Block | None:
        """Raises FetchError and TarError, and ChangedError where a shard is another one."""
        if self._done:
            return None
        self._done = True
        tasks = [asyncio.create_task(self._read(span)) for span in self._spans]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return Block([sample for span in self._spans for sample in span.found], 0)

    def ready_block(self) -> None:
        """There is one."""

    async def _read(self, span: RefetchSpan) -> None:
        async with self._free:
            reader: ShardReader | None = None
            position, stop = span.start, span.stop
            while True:
                wanted = ObjectRange(span.shard.url, position, stop)
                async with self._fetcher.open(wanted) as body:
                    answer = body.answer
                    _require_same(span, answer)
                    if reader is None:
                        reader = self._reader(span, answer)
                    ahead = position - answer.start
                    async for chunk in body:
                        position += len(chunk[ahead:])
                        if self._take(span, reader.feed(bytes(chunk[ahead:]))):
                            return
                        ahead = max(0, ahead - len(chunk))
                if not answer.ranged or position >= (position + 1 if answer.total is None else answer.total):
                    break
                if position < stop and answer.total is None:
                    break
                stop = position + max(LEAST, 2 * (stop - span.start))
            if not self._take(span, reader.finish()):
                raise _missing(span)

    def _reader(self, span: RefetchSpan, answer: Answer) -> ShardReader:
        first = span.wanted[0]
        start = (first.ordinal, first.offset) if span.shard.seekable else (0, 0)
        path = (answer.path or local_path(span.shard.url)) if self._options.local_paths else None
        return ShardReader(Shard(span.shard.url, span.index), answer.total, path, self._options, start)

    @staticmethod
    def _take(span: RefetchSpan, blocks: Iterable[Block]) -> bool:
        """Keeps what is wanted of the blocks; returns whether that is all. Raises an error that ends the shard before that."""
        ordinals = {place.ordinal for place in span.wanted}
        for block in blocks:
            span.found += [sample for sample in block.samples if sample._origin[1] in ordinals]  # noqa: SLF001 - as everywhere in the engine
            if len(span.found) == len(span.wanted):
                return True
            if isinstance(block.error, WdsError) and not block.samples and block.error.key is None:
                raise block.error
        return False


def _require_same(span: RefetchSpan, answer: Answer) -> None:
    if span.shard.mark and mark_of(answer.identity) != span.shard.mark:
        raise ChangedError("the shard was replaced since the state was taken", url=span.shard.url, offset=span.start)


def _missing(span: RefetchSpan) -> FetchError:
    return FetchError(f"{len(span.wanted) - len(span.found)} of the samples that a state holds are not there", url=span.shard.url)


@asynccontextmanager
async def open_refetch(source: Source, spans: list[RefetchSpan], counters: Counters) -> AsyncIterator[Refetch]:
    fetcher = source.make_fetcher(counters)
    try:
        yield Refetch(spans, fetcher, source.read_options())
    finally:
        await fetcher.aclose()
