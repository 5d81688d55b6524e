"""The stage that keeps samples by chance."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from asyncwds.errors import SpecError
from asyncwds.model import Place
from asyncwds.pipeline.randomness import bound_stage, check_seed

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
        if not _is_probability(self.p):
            raise SpecError(f"rsample: p must be between 0 and 1, not {self.p!r}")
        check_seed("rsample", self.seed, self.rng)

    def __call__(self, source: Iterable[T]) -> Iterator[T]:
        draw = (self.rng or (random if self.seed is None else Random(self.seed))).random  # noqa: S311 - no secret
        p = self.p
        return (item for item in source if draw() < p)

    def bound(self, seed: int, epoch: int, place: Place) -> Rsample:
        """This stage as it runs in an epoch, at a place, of a dataset with that seed."""
        return bound_stage(self, seed, epoch, place)


def rsample(p: float = 0.5, *, seed: int | None = None, rng: Random | None = None) -> Rsample:
    """Keeps each sample with probability `p`."""
    return Rsample(p, seed, rng)


def _is_probability(p: object) -> bool:
    return isinstance(p, (int, float)) and 0 <= p <= 1
