"""As a worker of a rank, for what reads the environment."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

import asyncwds as wds


@contextmanager
def standing_at(place: wds.WorkerInfo) -> Iterator[None]:
    names = ("RANK", "WORLD_SIZE", "WORKER", "NUM_WORKERS")
    numbers = (place.rank, place.world_size, place.worker, place.num_workers)
    with pytest.MonkeyPatch.context() as patch:
        for name, number in zip(names, numbers, strict=True):
            patch.setenv(name, str(number))
        yield
