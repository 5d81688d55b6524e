"""Data sets mixed into one: in turn, or by chance."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from functools import partial
from math import isfinite
from random import Random
from typing import Any

from asyncwds import checks
from asyncwds.errors import SpecError
from asyncwds.formatting.reprs import show_value
from asyncwds.pipeline.clock import inner_stats
from asyncwds.pipeline.epoch_counter import EpochCounter
from asyncwds.pipeline.epochs import opened
from asyncwds.pipeline.passes import Pass
from asyncwds.pipeline.randomness import checked_seed, rng_at
from asyncwds.pipeline.stage import is_bindable
from asyncwds.runtime.seeds import dataset_seed, make_seed
from asyncwds.runtime.stats import Counters, Stats, mixed
from asyncwds.runtime.torch_iterable import TorchIterable
from asyncwds.runtime.worker_info import WorkerInfo

Strategy = Callable[[list[Iterator[Any]]], Iterator[Any]]

_END = object()


def round_robin_shortest(*sources: Iterator[Any]) -> Iterator[Any]:
    """An item of each source in turn, until it is the turn of one that has ended."""
    while sources:
        for source in sources:
            item = next(source, _END)
            if item is _END:
                return
            yield item


def round_robin_longest(*sources: Iterator[Any]) -> Iterator[Any]:
    """An item of each source in turn, passing over those that have ended, until all have."""
    left = list(sources)
    while left:
        for source in list(left):
            item = next(source, _END)
            if item is _END:
                left.remove(source)
            else:
                yield item


def random_samples(
    sources: Sequence[Iterator[Any]],
    probs: Sequence[float] | None = None,
    longest: bool = False,
    rng: Random | None = None,
) -> Iterator[Any]:
    """Items of the sources by chance, in proportion to `probs` (of any sum; None is all alike).

    Ends where a source is drawn that has ended, or with `longest` when all have, the others taking its share. Without `rng`
    it draws from Python's global `random`, as WebDataset does.
    """
    weights = checked_probs(probs, len(sources))
    left = [(source, weight) for source, weight in zip(sources, weights, strict=True) if weight > 0]
    draw = (rng or random).random
    while left:
        bounds = _bounds([weight for _, weight in left])
        while True:
            index = bisect_right(bounds, draw())
            item = next(left[index][0], _END)
            if item is _END:
                break
            yield item
        if not longest:
            return
        del left[index]


@TorchIterable.register
class RoundRobin:
    """A sample of each data set in turn, until it is the turn of one that has ended; with `longest` until all have.

    Each iteration is an epoch, counted from 0 or from `set_epoch`, of its members too. Dropping the iterator closes theirs.
    An error of a member comes out with a note that names it. `FluidWrapper(mix)` adds the fluent methods.
    """

    def __init__(self, datasets: Iterable[Iterable[Any]], longest: bool = False) -> None:
        self.datasets = _members("RoundRobin", datasets)
        checks.flag("RoundRobin: longest", longest)
        self.longest = longest
        self._epochs = EpochCounter()

    def __iter__(self) -> Iterator[Any]:
        epoch, place = self._epochs.begin()
        return self.bound(None, epoch, place)

    def bound(self, seed: int | None, epoch: int, place: WorkerInfo) -> Iterator[Any]:
        """An iterator for one epoch, at a place, under a dataset with that seed."""
        robin = round_robin_longest if self.longest else round_robin_shortest
        return Mixed(self.datasets, lambda sources: robin(*sources), seed, epoch, place)

    def set_epoch(self, epoch: int) -> None:
        """The number of the next iteration."""
        self._epochs.set(epoch)

    def stats(self) -> Stats:
        """The sum of what the members count."""
        return mixed([stats for dataset in self.datasets if (stats := inner_stats(dataset)) is not None])

    def __repr__(self) -> str:
        return f"RoundRobin({show_value(self.datasets)}, longest={self.longest})"


@TorchIterable.register
class RandomMix:
    """Samples of data sets drawn by chance, in proportion to `probs` (of any sum; None is all alike).

    Ends where a data set is drawn that has ended; with `longest` when all have, the others taking its share. One of
    probability 0 is not read.

    What is drawn is a function of seed, epoch and place, and another thing in every worker. With a `seed` it is, in epoch 0 on
    the first worker, WebDataset's after `random.seed(seed)`. Without, it is $WDS_SEED, or drawn once, here.

    Each iteration is an epoch, counted from 0 or from `set_epoch`, of its members too. Dropping the iterator closes theirs.
    An error of a member comes out with a note that names it. `FluidWrapper(mix)` adds the fluent methods.
    """

    def __init__(
        self,
        datasets: Iterable[Iterable[Any]],
        probs: Sequence[float] | None = None,
        longest: bool = False,
        *,
        seed: int | None = None,
    ) -> None:
        self.datasets = _members("RandomMix", datasets)
        self.probs = None if probs is None else checked_probs(probs, len(self.datasets))
        self.longest = longest
        checks.flag("RandomMix: longest", longest)
        self.seed = checked_seed("RandomMix", seed)
        self._own_seed = dataset_seed(seed)
        self._epochs = EpochCounter()

    def __iter__(self) -> Iterator[Any]:
        epoch, place = self._epochs.begin()
        return self.bound(self._own_seed, epoch, place)

    def bound(self, seed: int, epoch: int, place: WorkerInfo) -> Iterator[Any]:
        """An iterator for one epoch, at a place, under a dataset with that seed, which a seed of its own goes before."""
        seed = seed if self.seed is None else self.seed
        draws = partial(random_samples, probs=self.probs, longest=self.longest, rng=self._rng(seed, epoch, place))
        return Mixed(self.datasets, draws, seed, epoch, place)

    def _rng(self, seed: int, epoch: int, place: WorkerInfo) -> Random:
        if self.seed is not None and place.rank == place.worker == 0:
            return Random(seed + epoch)  # noqa: S311 - WebDataset's draws
        return rng_at(seed, epoch, place)

    def set_epoch(self, epoch: int) -> None:
        """The number of the next iteration."""
        self._epochs.set(epoch)

    def stats(self) -> Stats:
        """The sum of what the members count."""
        return mixed([stats for dataset in self.datasets if (stats := inner_stats(dataset)) is not None])

    def __repr__(self) -> str:
        return f"RandomMix({show_value(self.datasets)}, probs={self.probs}, longest={self.longest}, seed={self._own_seed})"


def checked_probs(probs: Sequence[float] | None, members: int) -> list[float]:
    """Raises SpecError unless there is one for each member, none is negative, and one is above 0."""
    if probs is not None and not hasattr(probs, "__iter__"):
        raise SpecError(f"probabilities are numbers, one for each data set, not {probs!r}")
    weights = [1.0] * members if probs is None else [checks.real("each of the probabilities", weight) for weight in probs]
    if len(weights) != members:
        raise SpecError(f"there are {len(weights)} probabilities for {members} data sets")
    if not all(isfinite(weight) and weight >= 0 for weight in weights) or (members and not any(weights)):
        raise SpecError(f"probabilities must not be negative, nor all 0: {weights}")
    return weights


def _bounds(weights: list[float]) -> list[float]:
    """Where in [0, 1) the share of each ends, but for the last: WebDataset's sums, rounding included."""
    import numpy as np  # noqa: PLC0415 - heavy

    bounds: list[float] = (np.array(weights) / np.sum(weights)).cumsum().tolist()
    return bounds[:-1]


def _members(name: str, datasets: Iterable[Iterable[Any]]) -> list[Iterable[Any]]:
    if not hasattr(datasets, "__iter__"):
        raise SpecError(f"{name} mixes a list of data sets, not {show_value(datasets)}")
    members = list(datasets)
    if not members:
        raise SpecError(f"{name} needs data sets")
    if not all(hasattr(member, "__iter__") for member in members):
        raise SpecError(f"{name} mixes what can be iterated, not {[type(member).__name__ for member in members]}")
    return members


class Mixed(Iterator[Any]):
    """An iterator over a mix. At its end, after an error, and when it is closed or dropped, those over the members are closed."""

    def __init__(self, datasets: list[Iterable[Any]], strategy: Strategy, seed: int | None, epoch: int, place: WorkerInfo) -> None:
        self._pass = Pass(seed or 0, epoch, place, Counters())
        # It must not refer to this object: without a cycle, dropping it closes the members at once.
        self._items = _mixed(datasets, strategy, seed, self._pass)

    def __next__(self) -> Any:
        return next(self._items)

    def interrupt(self) -> None:
        """Makes a `next` that waits in another thread for a member raise BridgeError."""
        self._pass.interrupt()

    def close(self) -> None:
        self._items.close()


def _mixed(datasets: list[Iterable[Any]], strategy: Strategy, seed: int | None, current: Pass) -> Generator[Any]:
    with ExitStack() as stack:
        members = []
        for number, dataset in enumerate(datasets):
            with _naming(number, dataset):
                inner = None if seed is None else make_seed(seed, "member", number)
                member = stack.enter_context(_member(dataset, inner, current.epoch, current.place))
                current.hold_if_it_can_be(member)
                members.append(_named(number, dataset, member))
        yield from strategy(members)


def _member(dataset: Any, seed: int | None, epoch: int, place: WorkerInfo) -> AbstractContextManager[Iterator[Any]]:
    """An iterator over a member in an epoch, to be closed. A mix within a mix that has no seed of its own takes this one."""
    if seed is not None and is_bindable(dataset):
        return closing(dataset.bound(seed, epoch, place))
    if hasattr(dataset, "set_epoch"):
        dataset.set_epoch(epoch)
    return opened(dataset)


def _named(number: int, dataset: Any, items: Iterator[Any]) -> Iterator[Any]:
    with _naming(number, dataset):
        for item in items:  # noqa: UP028 - `yield from` would close an iterator that was given
            yield item


@contextmanager
def _naming(number: int, dataset: Any) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        error.add_note(f"in member {number} of a mix: {repr(dataset).partition(chr(10))[0][:100]}")
        raise
