"""Which bytes to ask for, for samples that are wanted: those that lie close in a shard together. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple


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
