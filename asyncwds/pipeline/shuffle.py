"""The stage that shuffles samples in a bounded buffer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import TypeVar

from asyncwds.errors import SpecError
from asyncwds.model import Place
from asyncwds.plan import shuffled

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Shuffle:
    """Draws uniformly from a buffer of `size` items, the first once `initial` are in it; below 2 the order is kept.

    Called by itself it draws as WebDataset does: from `rng`, from `Random(seed)`, or at random. In a dataset `bound`
    makes the order depend on the epoch: a seeded shuffle is WebDataset's in epoch 0 and another one in each later epoch,
    an unseeded one follows the seed of the dataset and differs from place to place. `rng` is used as it is, and goes on.
    Raises SpecError if both are given.
    """

    size: int = 1000
    initial: int = 100
    rng: Random | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.seed is not None and self.rng is not None:
            raise SpecError("shuffle takes a seed or an rng, not both")
        if not isinstance(self.seed, int | None):
            raise SpecError(f"the seed of shuffle must be a whole number, not {self.seed!r}")

    def __call__(self, source: Iterable[T]) -> Iterator[T]:
        return shuffled(source, self.size, self.initial, self.rng or Random(self.seed))  # noqa: S311 - an order, no secret

    def bound(self, seed: int, epoch: int, place: Place) -> Shuffle:
        """This stage as it runs in an epoch, at a place, of a dataset with that seed."""
        if self.rng is not None:
            return self
        if self.seed is not None:
            return replace(self, seed=self.seed + epoch)
        # Of text, Random takes a hash that is the same in every process.
        return replace(self, rng=Random(f"{seed} {epoch} {place.rank} {place.worker}"))  # noqa: S311 - an order, no secret
