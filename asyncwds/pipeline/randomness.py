"""How random stages draw: as WebDataset by themselves, and in a dataset by its seed, epoch and place."""

from __future__ import annotations

from random import Random

from asyncwds import checks
from asyncwds.errors import SpecError
from asyncwds.formatting.reprs import show_value
from asyncwds.runtime.worker_info import WorkerInfo


def rng_at(seed: int, epoch: int, place: WorkerInfo) -> Random:
    """Draws for one epoch at one place. The same in every process and release: of text, Random takes a hash that is."""
    return Random(f"{seed} {epoch} {place.rank} {place.worker}")  # noqa: S311 - an order, no secret


def checked_seed(stage: str, seed: int | None, rng: object = None) -> int | None:
    """The seed as Python's number. Raises SpecError for one that is no whole number or beside an rng, and an rng that is none."""
    if seed is not None and rng is not None:
        raise SpecError(f"{stage} takes a seed or an rng, not both")
    if rng is not None and not hasattr(rng, "random"):
        raise SpecError(f"{stage}: rng must be a random.Random, not {show_value(rng)}")
    return None if seed is None else checks.whole(f"{stage}: seed", seed)
