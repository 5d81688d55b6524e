"""The stage that keeps samples by chance."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from asyncwds import checks
from asyncwds.pipeline.randomness import bound_stage, checked_seed
from asyncwds.runtime.worker_info import WorkerInfo

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Rsample:
    """Keeps each item with probability `p`.

    In a dataset the choice follows its seed, epoch and place. With a seed of its own it is, in epoch 0, WebDataset's after
    `random.seed(seed)`; used by itself without a seed it draws from Python's global `random`, as there.
    """

    p: float = 0.5
    seed: int | None = None
    rng: Random | None = None

    def __post_init__(self) -> None:
        checks.real("rsample: p", self.p, 0, 1)
        object.__setattr__(self, "seed", checked_seed("rsample", self.seed, self.rng))

    def __call__(self, source: Iterable[T]) -> Iterator[T]:
        draw = (self.rng or (random if self.seed is None else Random(self.seed))).random  # noqa: S311 - no secret
        p = self.p
        return (item for item in source if draw() < p)

    def bound(self, seed: int, epoch: int, place: WorkerInfo) -> Rsample:
        """This stage as it runs in an epoch, at a place, of a dataset with that seed."""
        return bound_stage(self, seed, epoch, place)


def rsample(p: float = 0.5, *, seed: int | None = None, rng: Random | None = None) -> Rsample:
    """Keeps each sample with probability `p`."""
    return Rsample(p, seed, rng)
