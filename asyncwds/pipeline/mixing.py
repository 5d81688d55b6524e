"""Data sets mixed into one: in turn, or by chance."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from random import Random
from typing import Any, Generic

from asyncwds import checks
from asyncwds.errors import SpecError
from asyncwds.formatting.texts import show_value
from asyncwds.pipeline.context import RunContext
from asyncwds.pipeline.epoch_counter import EpochCounter
from asyncwds.pipeline.heads import inner
from asyncwds.pipeline.inner import LISTS, changes, repeats
from asyncwds.pipeline.mix_order import ByChance, InTurn, order_at
from asyncwds.pipeline.mix_stream import Mixed
from asyncwds.pipeline.mix_weights import Schedule, Weights, is_schedule
from asyncwds.pipeline.protocol import ItemT_co, Stream
from asyncwds.runtime.report import Report, merged
from asyncwds.runtime.stats import Stats, mixed
from asyncwds.runtime.torch_iterable import TorchIterable
from asyncwds.runtime.worker_info import WorkerInfo, checked_seed, dataset_seed, rng_at


@TorchIterable.register
class RoundRobin(Generic[ItemT_co]):
    """A sample of each data set in turn, until it is the turn of one that has ended; with `longest` until all have.

    Each iteration is an epoch, counted from 0 or from `set_epoch`, of its members too. Dropping the iterator closes theirs.
    An error of a member comes out with a note that names it. `FluidWrapper(mix)` adds the fluent methods.
    """

    def __init__(self, datasets: Iterable[Iterable[ItemT_co]], longest: bool = False) -> None:
        self.datasets = _members("RoundRobin", datasets)
        checks.flag("RoundRobin: longest", longest)
        self.longest = longest
        self._epochs = EpochCounter()

    def __iter__(self) -> Iterator[ItemT_co]:
        return self._mixed(None, RunContext(0, *self._epochs.begin()))

    def open(self, source: Stream, context: RunContext) -> Stream:  # noqa: ARG002 - it is what a pipeline begins with
        return self._mixed(context.seed, context)

    def reopen(self, source: Stream, context: RunContext, state: Any) -> Stream:  # noqa: ARG002 - as above
        return self._mixed(context.seed, context, state)

    def _mixed(self, seed: int | None, context: RunContext, state: Any = None) -> Mixed:
        order = InTurn(longest=self.longest, state=_order_of(state, context.worker_info))
        return Mixed(self.datasets, order, seed, context, state)

    def repeats(self) -> bool:
        """Whether an epoch that is gone through again has the same items in the same order, as far as can be told."""
        return all(map(repeats, self.datasets))

    def weight_changes(self) -> int:
        return sum(map(changes, self.datasets))

    @property
    def reads_shards(self) -> bool:
        return any(type(dataset) not in LISTS for dataset in self.datasets)

    def set_epoch(self, epoch: int) -> None:
        """The number of the next iteration."""
        self._epochs.set(epoch)

    def stats(self) -> Stats:
        """The sum of what the members count."""
        return mixed([stats for dataset in self.datasets if (stats := inner(dataset, "stats")) is not None])

    def report(self) -> Report:
        """The sum of what became of the samples of the members."""
        return merged([report for dataset in self.datasets if (report := inner(dataset, "report")) is not None])

    def __repr__(self) -> str:
        return f"RoundRobin({show_value(self.datasets)}, longest={self.longest})"


@TorchIterable.register
class RandomMix(Generic[ItemT_co]):
    """Samples of data sets drawn by chance, in proportion to `probs` (of any sum; None is all alike).

    Ends where a data set is drawn that has ended; with `longest` when all have, the others taking its share. One of
    probability 0 is not read.

    `probs` may change with the number of items that an iteration has given here: pairs of a step and probabilities, the first
    step being 0, or a function that gives the probabilities for a step. `set_weights` sets others by hand.

    What is drawn is a function of seed, epoch and place, and another thing in every worker. With a `seed` it is, in epoch 0 on
    the first worker, WebDataset's after `random.seed(seed)`. Without, it is $WDS_SEED, or drawn once, here.

    Each iteration is an epoch, counted from 0 or from `set_epoch`, of its members too. Dropping the iterator closes theirs.
    An error of a member comes out with a note that names it. `FluidWrapper(mix)` adds the fluent methods.
    """

    def __init__(
        self,
        datasets: Iterable[Iterable[ItemT_co]],
        probs: Sequence[float] | Schedule | None = None,
        longest: bool = False,
        *,
        seed: int | None = None,
    ) -> None:
        self.datasets = _members("RandomMix", datasets)
        self._weights = Weights(probs, len(self.datasets))
        self.probs = probs if probs is None or callable(probs) or is_schedule(probs) else self._weights.at(0, None).values
        self.longest = longest
        checks.flag("RandomMix: longest", longest)
        self.seed = checked_seed("RandomMix", seed)
        self._own_seed = dataset_seed(seed)
        self._epochs = EpochCounter()

    def __iter__(self) -> Iterator[ItemT_co]:
        return self._mixed(RunContext(self._own_seed, *self._epochs.begin()))

    def open(self, source: Stream, context: RunContext) -> Stream:  # noqa: ARG002 - it is what a pipeline begins with
        """A seed of its own goes before that of the pipeline."""
        return self._mixed(context)

    def reopen(self, source: Stream, context: RunContext, state: Any) -> Stream:  # noqa: ARG002 - as above
        """Weights that had been set by hand are set here too."""
        return self._mixed(context, state)

    def _mixed(self, context: RunContext, state: Any = None) -> Mixed:
        seed = context.seed if self.seed is None else self.seed
        rng, order = self._rng(seed, context.epoch, context.worker_info), _order_of(state, context.worker_info)
        draws = ByChance(self._weights, longest=self.longest, rng=rng, state=order)
        return Mixed(self.datasets, draws, seed, context, state)

    def set_weights(self, weights: Sequence[float] | None) -> None:
        """Draws in proportion to these from the next item on, in this process: in iterations that run, and in later ones.

        None goes back to what the mix was made with. They are in the state of a pipeline that begins with the mix. Raises SpecError
        for what are no weights.
        """
        self._weights.set(weights)

    def repeats(self) -> bool:
        """Whether an epoch that is gone through again has the same items in the same order, as far as can be told."""
        return all(map(repeats, self.datasets))

    def weight_changes(self) -> int:
        return self._weights.changes + sum(map(changes, self.datasets))

    @property
    def reads_shards(self) -> bool:
        return any(type(dataset) not in LISTS for dataset in self.datasets)

    def _rng(self, seed: int, epoch: int, place: WorkerInfo) -> Random:
        if self.seed is not None and place.rank == place.worker == 0:
            return Random(seed + epoch)  # noqa: S311 - WebDataset's draws
        return rng_at(seed, epoch, place)

    def set_epoch(self, epoch: int) -> None:
        """The number of the next iteration."""
        self._epochs.set(epoch)

    def stats(self) -> Stats:
        """The sum of what the members count."""
        return mixed([stats for dataset in self.datasets if (stats := inner(dataset, "stats")) is not None])

    def report(self) -> Report:
        """The sum of what became of the samples of the members."""
        return merged([report for dataset in self.datasets if (report := inner(dataset, "report")) is not None])

    def __repr__(self) -> str:
        return f"RandomMix({show_value(self.datasets)}, probs={self.probs}, longest={self.longest}, seed={self._own_seed})"


def _order_of(state: Any, place: WorkerInfo) -> Any:
    """Raises SpecError for what is not the state of a mix."""
    if state is None:
        return None
    if not isinstance(state, Mapping) or not isinstance(state.get("order"), Mapping):
        raise SpecError(f"not the state of a mix: {show_value(state)}")
    return order_at(state["order"], place)


def _members(name: str, datasets: Iterable[Iterable[Any]]) -> list[Iterable[Any]]:
    if not hasattr(datasets, "__iter__"):
        raise SpecError(f"{name} mixes a list of data sets, not {show_value(datasets)}")
    members = list(datasets)
    if not members:
        raise SpecError(f"{name} needs data sets")
    if not all(hasattr(member, "__iter__") for member in members):
        raise SpecError(f"{name} mixes what can be iterated, not {[type(member).__name__ for member in members]}")
    return members
