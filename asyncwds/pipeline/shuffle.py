"""The stages that shuffle samples in a bounded buffer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from asyncwds import checks
from asyncwds.pipeline.handlers import Handler
from asyncwds.pipeline.randomness import bound_stage, checked_seed
from asyncwds.pipeline.stage import PipelineStage
from asyncwds.runtime.worker_info import WorkerInfo
from asyncwds.shards.plan import shuffled

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Shuffle:
    """Draws uniformly from a buffer of `bufsize` items, the first once `initial` are in it; below 2 the order is kept.

    Called by itself it draws as WebDataset does: from `rng`, from `Random(seed)`, or at random. In a dataset `bound`
    makes the order depend on the epoch: a seeded shuffle is WebDataset's in epoch 0 and another one in each later epoch,
    an unseeded one follows the seed of the dataset and differs from place to place. `rng` is used as it is, and goes on.
    Raises SpecError if both are given.
    """

    bufsize: int = 1000
    initial: int = 100
    rng: Random | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "seed", checked_seed("shuffle", self.seed, self.rng))
        checks.real("shuffle: the size", self.bufsize, 0)  # WebDataset's may be 1e3
        checks.real("shuffle: initial", self.initial, 0)

    def __call__(self, source: Iterable[T]) -> Iterator[T]:
        return shuffled(source, self.bufsize, self.initial, self.rng or Random(self.seed))  # noqa: S311 - an order, no secret

    def bound(self, seed: int, epoch: int, place: WorkerInfo) -> Shuffle:
        """This stage as it runs in an epoch, at a place, of a dataset with that seed."""
        return bound_stage(self, seed, epoch, place)


@dataclass
class detshuffle(PipelineStage):  # noqa: N801 - WebDataset's name
    """A shuffle with the order of `Random(seed + epoch)`; each `run` is the next epoch. In a dataset its epoch is added."""

    bufsize: int = 1000
    initial: int = 100
    seed: int = 0
    epoch: int = -1

    def __post_init__(self) -> None:
        self.seed = checks.whole("detshuffle: seed", self.seed)
        self.epoch = checks.whole("detshuffle: epoch", self.epoch)
        checks.real("detshuffle: bufsize", self.bufsize, 0)
        checks.real("detshuffle: initial", self.initial, 0)

    def run(self, src: Iterable[T]) -> Iterator[T]:
        self.epoch += 1
        return Shuffle(self.bufsize, self.initial, seed=self.seed + self.epoch)(src)

    def bound(self, seed: int, epoch: int, place: WorkerInfo) -> Shuffle:  # noqa: ARG002 - the interface
        return Shuffle(self.bufsize, self.initial, seed=self.seed + self.epoch + 1 + epoch)


def shuffle(
    bufsize: int = 1000,
    initial: int = 100,
    rng: Random | None = None,
    seed: int | None = None,
    handler: Handler | None = None,  # WebDataset's; nothing in a shuffle can fail
) -> Shuffle:
    """Shuffles in a buffer of `bufsize` samples, giving out from the time `initial` are in."""
    checks.function("shuffle: handler", handler, optional=True, takes=1)
    return Shuffle(bufsize, initial, rng, seed)
