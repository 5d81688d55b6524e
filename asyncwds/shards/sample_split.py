"""As many samples at each place, however many each shard has: a pure function of (counts, seed, epoch, place).

The shards are laid end to end, in the order of the epoch, and cut into as many ranges of samples as there are places, ranks by
workers. So a place reads whole shards, and of one at each end perhaps a piece.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Literal

from asyncwds.errors import SpecError
from asyncwds.formatting.texts import plural
from asyncwds.runtime.worker_info import WorkerInfo
from asyncwds.shards.plan import INITIAL, shuffle_items
from asyncwds.shards.shard import Begin, Limit, Shard

Uneven = Literal["drop", "pad", "error"]


@dataclass(frozen=True)
class SampleSplit:
    """How samples are shared out. `counts` are those of the shards, in the order of their urls.

    `uneven` says what is done where they don't divide: the last ones of an epoch are dropped, or its first ones come again, or it
    is an error. `locate` adds to a shard where what is wanted of it lies.
    """

    counts: Sequence[int]
    uneven: Uneven
    locate: Callable[[Shard], Shard] | None = None

    def share(self, place: WorkerInfo) -> int:
        """The number of samples of each place. Raises SpecError where there can be none."""
        total, places = sum(self.counts), place.world_size * place.num_workers
        whole, rest = divmod(total, places)
        if rest == 0 or (self.uneven == "drop" and whole):
            return whole
        if self.uneven == "pad":
            return whole + 1
        among = f"{plural(total, 'sample')} in {plural(len(self.counts), 'shard')} among {_describe(place)}"
        if self.uneven == "drop":
            raise SpecError(f"there are too few to share out {among}: uneven='pad' gives some of them several times")
        raise SpecError(
            f"it is impossible to share out {among} evenly: each would get {whole}, and {rest} would be left; "
            f"uneven='drop' leaves these out, uneven='pad' gives {places - rest} others a second time, and marks them"
        )

    def plan(self, urls: Sequence[str], *, seed: int, epoch: int, place: WorkerInfo, shardshuffle: int) -> Iterator[Shard]:
        """The shards to read at a place, and which of their samples, lazily. Raises SpecError, at once, as `share` does."""
        share = self.share(place)
        begin = share * (place.rank * place.num_workers + place.worker)

        def order() -> Iterator[int]:
            rng = Random(seed + epoch)  # noqa: S311 - an order, no secret
            return shuffle_items(range(len(urls)), shardshuffle, INITIAL, rng, array("q"))

        locate = self.locate or (lambda shard: shard)
        return (locate(self._shard(urls, *each)) for each in cut(self.counts, order, begin, begin + share))

    def _shard(self, urls: Sequence[str], again: bool, index: int, first: int, stop: int) -> Shard:
        limit = Limit(stop, stop == self.counts[index], padding=again if self.uneven == "pad" else None)
        return Shard(urls[index], index, Begin(first) if first else None, limit)


def cut(counts: Sequence[int], order: Callable[[], Iterable[int]], begin: int, stop: int) -> Iterator[tuple[bool, int, int, int]]:
    """Of shards that lie end to end the samples from number `begin` to before `stop`: whether they come again, as behind the last
    shard the first one does; the shard; and which of its samples, from one ordinal to before another.
    """
    position, again = 0, False
    while position < stop:
        for index in order():
            first, last = max(0, begin - position), min(counts[index], stop - position)
            if first < last:
                yield again, index, first, last
            position += counts[index]
            if position >= stop:
                return
        again = True


def padding_in(shards: Iterable[Shard]) -> Callable[[int, int], bool]:
    """Whether a sample, by its shard and ordinal, is one that is given a second time, of what a place reads.

    No place gives a sample twice, since there is less padding than there are places.
    """
    ranges = [(shard, shard.limit.stop) for shard in shards if shard.limit is not None and shard.limit.padding]
    return partial(_is_in, [(shard.index, range(shard.begin.wanted if shard.begin else 0, stop)) for shard, stop in ranges])


def _is_in(ranges: Sequence[tuple[int, range]], shard: int, ordinal: int) -> bool:
    return any(index == shard and ordinal in ordinals for index, ordinals in ranges)


def _describe(place: WorkerInfo) -> str:
    ranks, workers = plural(place.world_size, "rank"), plural(place.num_workers, "worker")
    return ranks if place.num_workers == 1 else f"{ranks} of {workers}"
