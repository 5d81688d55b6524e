"""Where this process stands among the ranks, without torch: from the variables that launchers set."""

from __future__ import annotations

import os

from asyncwds.errors import SpecError
from asyncwds.model import Place


def _number(name: str, default: int) -> int:
    value = os.environ.get(name)
    if not value:
        return default
    try:
        return int(value)
    except ValueError:
        raise SpecError(f"the environment variable {name} must be a whole number, not {value!r}") from None


def place_from_environment() -> Place:
    """RANK and WORLD_SIZE (torchrun's names), WORKER and NUM_WORKERS (WebDataset's). Each pair counts only if both are set."""
    place = Place()
    if os.environ.get("RANK") and os.environ.get("WORLD_SIZE"):
        place = Place(rank=_number("RANK", 0), world_size=_number("WORLD_SIZE", 1))
    if os.environ.get("WORKER") and os.environ.get("NUM_WORKERS"):
        place = Place(place.rank, place.world_size, _number("WORKER", 0), _number("NUM_WORKERS", 1))
    return place
