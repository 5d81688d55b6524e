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
from asyncwds.pipeline.adapt import adapt_head, follows_pass
from asyncwds.pipeline.clock import inner_stats
from asyncwds.pipeline.context import RunContext
from asyncwds.pipeline.epoch_counter import EpochCounter
from asyncwds.pipeline.epochs import opened
from asyncwds.pipeline.lineage import Trace
from asyncwds.pipeline.protocol import Stream
from asyncwds.pipeline.randomness import checked_seed, rng_at
from asyncwds.pipeline.streams import NoItems, close_generator
from asyncwds.pipeline.tracebacks import users_frames
from asyncwds.runtime.seeds import dataset_seed, make_seed
from asyncwds.runtime.stats import Stats, mixed
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
        return self._mixed(None, RunContext(0, *self._epochs.begin()))

    def open(self, source: Stream, context: RunContext) -> Stream:  # noqa: ARG002 - it is what a pipeline begins with
        return self._mixed(context.seed, context)

    def _mixed(self, seed: int | None, context: RunContext) -> Mixed:
        robin = round_robin_longest if self.longest else round_robin_shortest
        return Mixed(self.datasets, lambda sources: robin(*sources), seed, context)

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
        return self._mixed(RunContext(self._own_seed, *self._epochs.begin()))

    def open(self, source: Stream, context: RunContext) -> Stream:  # noqa: ARG002 - it is what a pipeline begins with
        """A seed of its own goes before that of the pipeline."""
        return self._mixed(context)

    def _mixed(self, context: RunContext) -> Mixed:
        seed = context.seed if self.seed is None else self.seed
        rng = self._rng(seed, context.epoch, context.worker_info)
        draws = partial(random_samples, probs=self.probs, longest=self.longest, rng=rng)
        return Mixed(self.datasets, draws, seed, context)

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
    """A mix in one pass. At its end, after an error, and when it is closed or dropped, what is open of the members is closed."""

    def __init__(self, datasets: list[Iterable[Any]], strategy: Strategy, seed: int | None, context: RunContext) -> None:
        self._resources = context.resources
        self._latest = _Latest()
        # It must not refer to this object: without a cycle, dropping it closes the members at once.
        self._items = _mixed(datasets, strategy, seed, context, self._latest)

    def __next__(self) -> Any:
        try:
            return next(self._items)
        except Exception as error:  # noqa: BLE001 - raised again
            raise error.with_traceback(users_frames(error))  # noqa: B904 - it is the same error

    def lineage(self) -> tuple[Trace, ...]:
        """As the member knows it that gave the latest item."""
        lineage: Callable[[], tuple[Trace, ...]] | None = getattr(self._latest.member, "lineage", None)
        return () if lineage is None else lineage()

    def interrupt(self) -> None:
        """Makes a `next` that waits in another thread for a member raise BridgeError."""
        self._resources.interrupt()

    def close(self) -> None:
        close_generator(self._items)
        self._resources.close()


class _Latest:
    """Which member gave the latest item."""

    __slots__ = ("member",)

    def __init__(self) -> None:
        self.member: Iterator[Any] = iter(())


def _mixed(
    datasets: list[Iterable[Any]], strategy: Strategy, seed: int | None, context: RunContext, latest: _Latest
) -> Generator[Any]:
    with ExitStack() as stack:
        members = []
        for number, dataset in enumerate(datasets):
            with _naming(number, dataset):
                member = stack.enter_context(_member(number, dataset, seed, context))
                context.resources.hold_if_it_can_be(member)
                members.append(_named(number, dataset, member, latest))
        yield from strategy(members)


def _member(number: int, dataset: Any, seed: int | None, context: RunContext) -> AbstractContextManager[Iterator[Any]]:
    """An iterator over a member in an epoch, to be closed. A mix within a mix that has no seed of its own takes one from it."""
    if seed is not None and follows_pass(dataset):
        own = RunContext(make_seed(seed, "member", number), context.epoch, context.worker_info)
        return closing(adapt_head(dataset).open(NoItems(own.resources), own))
    if hasattr(dataset, "set_epoch"):
        dataset.set_epoch(context.epoch)
    return opened(dataset)


def _named(number: int, dataset: Any, items: Iterator[Any], latest: _Latest) -> Iterator[Any]:
    with _naming(number, dataset):
        for item in items:
            latest.member = items
            yield item


@contextmanager
def _naming(number: int, dataset: Any) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        error.add_note(f"in member {number} of a mix: {repr(dataset).partition(chr(10))[0][:100]}")
        raise
