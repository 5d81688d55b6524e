"""What is left of an epoch that went on elsewhere: shards that nobody began, the rests of others, and single samples.

Per shard, what was given out is all before an ordinal, but for samples that a stage held. So what is left is told without an index:
where the rest begins, and where each of those samples is. From seed, epoch and generation follows in which order that comes, and
from rank and worker who reads which of it.
"""

from __future__ import annotations

import zlib
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heapreplace
from itertools import groupby
from math import ceil
from random import Random
from typing import Any, NamedTuple, TypeVar

from asyncwds.engine.positions import HeldShard, pack_shards, unpack_shards
from asyncwds.engine.source import Source
from asyncwds.errors import SpecError
from asyncwds.formatting.texts import show_value
from asyncwds.pipeline.held import Ref, pack_refs, unpack_refs
from asyncwds.runtime.units import KiB, MiB
from asyncwds.runtime.worker_info import WorkerInfo
from asyncwds.shards.manifests import ShardRecord
from asyncwds.shards.shard import Begin, Limit, Shard

T = TypeVar("T")

NEAR = 64  # samples of a shard, one behind the other, that are read by the same place
BATCH = 256  # samples that are read and shuffled together
BATCH_BYTES = 32 * MiB  # about as much at a time
UNKNOWN_BYTES = 64 * KiB  # of a sample that is the first of its shard
HALF = 0.5  # what the rest of a shard counts for, where nobody knows how much that is


class Share(NamedTuple):
    """What one place reads: samples, in batches of those that are read together, and then shards."""

    samples: list[list[Ref]]
    shards: list[Shard]


@dataclass(frozen=True)
class Remainder:
    """`shards` are whole, or have a `begin` or a `limit`; `held` says of what shards the `samples` are."""

    generation: int
    shards: tuple[Shard, ...]
    samples: tuple[Ref, ...]
    held: Mapping[int, HeldShard]

    def share(self, place: WorkerInfo, source: Source, epoch: int) -> Share:
        """The place's, in its order. Those of all places of a world are all of it."""
        seed, records = source.seed, source.records
        rng = Random(f"rest {seed} {epoch} {self.generation}")  # noqa: S311 - an order, no secret
        rests, whole = [[shard for shard in self.shards if _is_whole(shard) == untouched] for untouched in (False, True)]
        rng.shuffle(rests)
        rng.shuffle(whole)
        runs = list(_runs(self.samples, self.held))
        rng.shuffle(runs)
        cuts = cut_up if records and not source.whole_members else _as_they_are
        shards = _own([(_weight(shard, records), shard) for shard in whole + rests], place, cuts)
        samples = [ref for run in _own([(len(run), run) for run in runs], place, _as_they_are) for ref in run]
        rng = Random(f"rest {seed} {epoch} {self.generation} {place.rank} {place.worker}")  # noqa: S311 - as above
        rng.shuffle(shards)
        batches = list(_batches(samples))
        for batch in batches:
            rng.shuffle(batch)
        return Share(batches, shards)

    def as_json(self, urls: Sequence[str]) -> dict[str, Any]:
        """A url stands in it where it is not the one that the list has for its shard."""
        whole = [shard for shard in self.shards if _is_whole(shard)]
        rests = [shard for shard in self.shards if not _is_whole(shard)]
        return {
            "whole": _pack_numbers([shard.index for shard in whole]),
            "rests": [
                [shard.index, *(shard.begin or Begin()), *(() if shard.limit is None else (shard.limit.stop,))] for shard in rests
            ],
            "urls": {str(shard.index): shard.url for shard in self.shards if _url_of(shard.index, urls) != shard.url},
            "samples": pack_refs(self.samples),
            "shards": pack_shards(self.held, sorted(self.held), urls),
        }


def passes_of(base: Mapping[str, Any] | None) -> set[int]:
    """Which passes of an iteration others began."""
    return set() if base is None else set(map(int, base["passes"]))


def remainder_of(base: Mapping[str, Any] | None, number: int, urls: Sequence[str]) -> Remainder | None:
    """Of a pass; None where nobody began it. Raises SpecError for what is nothing of the kind."""
    if number not in passes_of(base):
        return None
    assert base is not None
    return from_json(base["passes"][str(number)], base["generation"], urls)


def from_json(state: Any, generation: int, urls: Sequence[str]) -> Remainder:
    """Raises SpecError for what is nothing of the kind."""
    try:
        others = state["urls"]
        numbers = _unpack_numbers(state["whole"])
        whole = [Shard(others.get(str(number)) or urls[number], number) for number in numbers]
        rests = [_rest(others.get(str(number)) or urls[number], number, *rest) for number, *rest in state["rests"]]
        samples = tuple([ref for refs in unpack_refs(state["samples"]) for ref in refs])
        held = unpack_shards(state["shards"], sorted({ref[0] for ref in samples}), urls)
        return Remainder(generation, (*whole, *rests), samples, held)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, zlib.error) as error:
        raise SpecError(f"not what is left of an epoch: {show_value(state)}") from error


def _rest(  # noqa: PLR0917 - as it stands in a state
    url: str, index: int, wanted: int, ordinal: int, offset: int, identity: str | None, stop: int | None = None
) -> Shard:
    begin = Begin(wanted, ordinal, offset, identity)
    return Shard(url, index, None if begin == Begin() else begin, None if stop is None else _before(stop))


def _before(stop: int) -> Limit:
    return Limit(stop, to_end=False, counted=False)


def _is_whole(shard: Shard) -> bool:
    return shard.begin is None and shard.limit is None


def count_left(packed: Mapping[str, Any]) -> tuple[int, int, int]:
    """Of one as JSON: whole shards, rests of shards, and samples."""
    samples = packed["samples"]
    number = samples["samples"] if isinstance(samples, Mapping) else len(samples)
    return len(_unpack_numbers(packed["whole"])), len(packed["rests"]), number


def _url_of(index: int, urls: Sequence[str]) -> str | None:
    return urls[index] if index < len(urls) else None


def _pack_numbers(numbers: Iterable[int]) -> str:
    """As bits: a million take 20 to 120 KB."""
    bits = bytearray()
    for number in numbers:
        if number >> 3 >= len(bits):
            bits.extend(bytes((number >> 3) + 1 - len(bits)))
        bits[number >> 3] |= 1 << (number & 7)
    return b64encode(zlib.compress(bytes(bits))).decode()


def _unpack_numbers(packed: str) -> list[int]:
    bits = zlib.decompress(b64decode(packed))
    return [8 * position + bit for position, byte in enumerate(bits) if byte for bit in range(8) if byte >> bit & 1]


def _weight(shard: Shard, records: Mapping[str, ShardRecord]) -> float:
    """Its samples where a manifest or an index says how many there are; else 1, and a half for a rest."""
    record, begins = records.get(shard.url), 0 if shard.begin is None else shard.begin.wanted
    if shard.limit is not None:
        return shard.limit.stop - begins
    if record is not None:
        return record.samples - begins
    return 1 if shard.begin is None else HALF


Weighted = Sequence[tuple[float, T]]


def _as_they_are(weighted: Weighted[T], places: int) -> Weighted[T]:  # noqa: ARG001 - as `cut_up`
    return weighted


def cut_up(weighted: Weighted[Shard], places: int) -> Weighted[Shard]:
    """Where there are fewer shards than places, pieces of them that weigh no more than what a place is to have."""
    if not weighted or len(weighted) >= places:
        return weighted
    most = max(1, ceil(sum([weight for weight, _ in weighted]) / places))
    return [piece for weight, shard in weighted for piece in _pieces(int(weight), shard, most)]


def _pieces(samples: int, shard: Shard, most: int) -> Iterator[tuple[float, Shard]]:
    """The last one ends where the shard does: nobody need rely on how many samples it is said to have."""
    begin = shard.begin or Begin()
    number = max(1, -(-samples // most))
    stops = [begin.wanted + samples * piece // number for piece in range(1, number)]
    for first, stop in zip([begin.wanted, *stops], [*stops, None], strict=True):
        start, limit = begin._replace(wanted=first), shard.limit if stop is None else _before(stop)
        weight = begin.wanted + samples - first if stop is None else stop - first
        yield weight, Shard(shard.url, shard.index, None if start == Begin() else start, limit)


def _own(weighted: Weighted[T], place: WorkerInfo, cut: Callable[[Weighted[T], int], Weighted[T]]) -> list[T]:
    """A worker's of its rank's. So ranks may have different numbers of workers."""
    of_rank = _deal(cut(weighted, place.world_size), place.world_size)[place.rank]
    return [thing for _, thing in _deal(cut(of_rank, place.num_workers), place.num_workers)[place.worker]]


def _deal(weighted: Weighted[T], places: int) -> list[list[tuple[float, T]]]:
    """The things, one after the other, each to the place that has least so far; those that weigh most first."""
    dealt: list[list[tuple[float, T]]] = [[] for _ in range(places)]
    heap = [(0.0, place) for place in range(places)]
    for weight, thing in sorted(weighted, key=lambda pair: -pair[0]):
        total, place = heap[0]
        dealt[place].append((weight, thing))
        heapreplace(heap, (total + weight, place))
    return dealt


def _runs(refs: Iterable[Ref], held: Mapping[int, HeldShard]) -> Iterator[list[Ref]]:
    """Samples that lie close in a shard. Where each needs all before it, they are all of that shard."""
    for index, group in groupby(sorted(refs), lambda ref: ref[0]):
        of_shard = list(group)
        step = NEAR if held[index].seekable else len(of_shard)
        for begin in range(0, len(of_shard), step):
            yield of_shard[begin : begin + step]


def _batches(refs: Iterable[Ref]) -> Iterator[list[Ref]]:
    batch: list[Ref] = []
    nbytes = 0
    for ref in refs:
        _, ordinal, offset = ref
        size = offset // ordinal if ordinal else UNKNOWN_BYTES
        if batch and (len(batch) == BATCH or nbytes + size > BATCH_BYTES):
            yield batch
            batch, nbytes = [], 0
        batch.append(ref)
        nbytes += size
    if batch:
        yield batch
