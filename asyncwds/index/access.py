"""Samples by number or key: a map-style dataset, and all of them in a random order of the whole data set."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, overload

import numpy as np

from asyncwds import checks
from asyncwds.index.columns import Ints
from asyncwds.index.index import Index, as_number
from asyncwds.index.reader import SampleReader
from asyncwds.runtime.torch_iterable import TorchIterable
from asyncwds.runtime.worker_info import WorkerInfo, current_worker_info
from asyncwds.samples import Sample

AT_ONCE = 64


def the_sample(sample: Sample) -> Any:
    """What a dataset without stages makes of a sample."""
    return sample


class RandomAccess:
    """The samples of shards by number or key: a map-style dataset, for torch's DataLoader and by itself. Made by
    `WebDataset.random_access`.

    access[17]           a sample by its number, counted over all shards; a negative one counts from the end
    access["n01/17"]     the first sample with this key
    access[10:20]        a list of samples, which are fetched together
    len(access)          how many there are

    A DataLoader asks for the samples of a batch at once (`__getitems__`): they are fetched with many requests in flight, those
    that lie close in a shard by one. Samples of local files are read where they are asked for, and need no thread. In a worker,
    forked or spawned, it opens files and connections of its own. `close` closes them; it can be used again.

    Raises NoSuchSampleError (a KeyError, and an IndexError), StaleIndexError where a shard is not the one that was indexed,
    FetchError, and what stages raise.
    """

    def __init__(self, reader: SampleReader, through: Callable[[Sample], Any] = the_sample) -> None:
        self._reader = reader
        self._through = through

    @property
    def index(self) -> Index:
        return self._reader.index

    def __len__(self) -> int:
        return len(self.index)

    @overload
    def __getitem__(self, wanted: int | str) -> Any: ...
    @overload
    def __getitem__(self, wanted: slice) -> list[Any]: ...
    def __getitem__(self, wanted: int | str | slice) -> Any:
        if isinstance(wanted, slice):
            return self.__getitems__(range(*wanted.indices(len(self))))
        return self._through(self._reader.read([as_number(self.index, wanted)])[0])

    def __getitems__(self, wanted: Sequence[int | str]) -> list[Any]:
        """Several at once, in the order in which they are asked for."""
        return self._start(wanted)()

    def shuffled(self, seed: int = 0, *, at_once: int = AT_ONCE) -> ShuffledSamples:
        """All samples in a random order of the whole data set, shared out among ranks and workers: an iterable dataset.

        `at_once` samples are fetched together, and the next ones meanwhile.
        """
        return ShuffledSamples(self, checks.whole("shuffled: seed", seed), checks.whole("shuffled: at_once", at_once, 1))

    def close(self) -> None:
        self._reader.close()

    def __repr__(self) -> str:
        return f"RandomAccess({self.index!r})"

    def _start(self, wanted: Sequence[int | str]) -> Callable[[], list[Any]]:
        fetched = self._reader.start([as_number(self.index, each) for each in wanted])
        return lambda: [self._through(sample) for sample in fetched()]


@TorchIterable.register
class ShuffledSamples:
    """The samples of a `RandomAccess` in a random order, of which each iteration has another one: epochs count from 0, or from
    `set_epoch`. Ranks, and workers of a DataLoader, take every so-manieth: their numbers differ by 1 at most.
    """

    def __init__(self, samples: RandomAccess, seed: int, at_once: int) -> None:
        self._samples = samples
        self._seed = seed
        self._at_once = at_once
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """The number of the next iteration. To be called alike on every rank."""
        self._epoch = checks.whole("set_epoch: epoch", epoch)

    def __iter__(self) -> Iterator[Any]:
        epoch, self._epoch = self._epoch, self._epoch + 1
        return self._iterate(epoch, current_worker_info())

    def _iterate(self, epoch: int, place: WorkerInfo) -> Iterator[Any]:
        step = place.world_size * place.num_workers
        mine = random_order(len(self._samples), self._seed, epoch)[place.rank * place.num_workers + place.worker :: step]
        batches = [mine[begin : begin + self._at_once].tolist() for begin in range(0, len(mine), self._at_once)]
        ahead: Callable[[], list[Any]] | None = None
        for batch in [*batches, None]:
            ready, ahead = ahead, None if batch is None else self._samples._start(batch)  # noqa: SLF001 - its own iterator
            if ready is not None:
                yield from ready()


def random_order(count: int, seed: int, epoch: int) -> Ints:
    """The numbers below `count` in an order that depends on nothing else, whatever the version of numpy: that of their hashes."""
    key = np.array([seed & _ALL], dtype=np.uint64)
    key = _hash(_hash(key) ^ np.uint64(epoch & _ALL))
    return np.argsort(_hash(np.arange(count, dtype=np.uint64) ^ key), kind="stable").astype(np.int64)


_ALL = (1 << 64) - 1


def _hash(numbers: np.ndarray[Any, np.dtype[np.uint64]]) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """splitmix64, which gives different numbers different ones."""
    mixed = numbers + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
