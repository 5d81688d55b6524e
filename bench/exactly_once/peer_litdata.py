"""LitData: its own format, `StreamingDataLoader.state_dict`; elastic on any state of the old ranks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import litdata

from bench.exactly_once.rank import BATCH, SAMPLES, SHARDS, initialise_ranks


def write(folder: Path) -> None:
    litdata.optimize(
        fn=identity, inputs=list(range(SAMPLES)), output_dir=str(folder), chunk_size=SAMPLES // SHARDS, num_workers=1, verbose=False
    )


def identity(number: int) -> int:
    return number


@contextmanager
def reading(folder: Path, rank: int, world_size: int, states: list[Any] | None) -> Iterator[tuple[Any, Callable[[], Any]]]:
    with initialise_ranks(rank, world_size):
        dataset = litdata.StreamingDataset(str(folder), shuffle=True, seed=1, drop_last=False)
        loader = litdata.StreamingDataLoader(dataset, batch_size=BATCH, num_workers=0)
        if states is not None:
            loader.load_state_dict(states[rank])
        yield loader, loader.state_dict
