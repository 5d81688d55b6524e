"""Where samples of a shard lie, by an index, for those who read some of them; and which bytes to ask for: those that lie close in
a shard together. No I/O.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from asyncwds.index.index import Index
from asyncwds.shards.shard import Begin, Limit, Shard


class Wanted(NamedTuple):
    """A sample in [start, stop) [bytes] of a shard; `place` is its place among those that were asked for."""

    shard: int
    start: int
    stop: int
    place: int
    row: int


@dataclass(slots=True)
class ByteSpan:
    """Bytes [start, stop) of a shard, with the samples that lie in them."""

    shard: int
    start: int
    stop: int
    samples: list[Wanted] = field(default_factory=list)


def join_close(wanted: Iterable[Wanted], gap: int, most: int) -> list[ByteSpan]:
    """Spans in the order of their shards and places: of samples at most `gap` [bytes] apart, unless that makes more than `most`."""
    spans: list[ByteSpan] = []
    for sample in sorted(wanted):
        last = spans[-1] if spans else None
        if (
            last is None
            or sample.shard != last.shard
            or sample.start - last.stop > gap
            or max(sample.stop, last.stop) - last.start > most
        ):
            last = ByteSpan(sample.shard, sample.start, sample.stop)
            spans.append(last)
        last.stop = max(last.stop, sample.stop)
        last.samples.append(sample)
    return spans


@dataclass(frozen=True)
class Locator:
    """Adds to a shard where its first sample begins and its last one ends, of those wanted, and which object that is known of.

    `by_ranges`: where they may be read by themselves. A shard of which only their number is known is read from its beginning.
    """

    index: Index
    by_ranges: bool = True

    def __call__(self, shard: Shard) -> Shard:
        known = self.index.shards[shard.index]
        begin = (shard.begin or Begin())._replace(identity=known.identity)
        limit = None if shard.limit is None else shard.limit._replace(size=known.size)
        if known.packed is not None and self.by_ranges and limit is not None and (begin.wanted or not limit.to_end):
            begin, limit = self._with_range(shard.index, begin, limit)
        return replace(shard, begin=None if begin == Begin() else begin, limit=limit)

    def _with_range(self, number: int, begin: Begin, limit: Limit) -> tuple[Begin, Limit]:
        columns = self.index.shards[number].columns
        if int(columns.ordinals[-1]) != len(columns) - 1:  # samples are left out of the index
            return begin, limit
        if begin.wanted:
            begin = begin._replace(ordinal=begin.wanted, offset=int(columns.offsets[begin.wanted]))
        return begin, limit if limit.to_end else limit._replace(end=int(columns.ends[limit.stop - 1]))
