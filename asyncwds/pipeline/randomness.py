"""How random stages draw: as WebDataset by themselves, and in a dataset by its seed, epoch and place."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any, TypeVar

from asyncwds import checks
from asyncwds.errors import SpecError
from asyncwds.formatting.reprs import show_value
from asyncwds.runtime.worker_info import WorkerInfo

T = TypeVar("T")


def rng_at(seed: int, epoch: int, place: WorkerInfo) -> Random:
    """Draws for one epoch at one place. The same in every process and release: of text, Random takes a hash that is."""
    return Random(f"{seed} {epoch} {place.rank} {place.worker}")  # noqa: S311 - an order, no secret


def bound_stage(stage: T, seed: int, epoch: int, place: WorkerInfo) -> T:
    """A dataclass with `seed` and `rng` as it runs in a dataset.

    Its own seed gives WebDataset's draws in epoch 0, at every place, and others in each later epoch; its own rng goes on;
    with neither it follows the dataset.
    """
    own: Any = stage
    if own.rng is not None:
        return stage
    changes = {"rng": rng_at(seed, epoch, place)} if own.seed is None else {"seed": own.seed + epoch}
    bound: T = replace(own, **changes)
    return bound


def checked_seed(stage: str, seed: int | None, rng: object = None) -> int | None:
    """The seed as Python's number. Raises SpecError for one that is no whole number or beside an rng, and an rng that is none."""
    if seed is not None and rng is not None:
        raise SpecError(f"{stage} takes a seed or an rng, not both")
    if rng is not None and not hasattr(rng, "random"):
        raise SpecError(f"{stage}: rng must be a random.Random, not {show_value(rng)}")
    return None if seed is None else checks.whole(f"{stage}: seed", seed)
