"""MosaicML streaming: its own format, one state of rank 0 for all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.exactly_once.rank import BATCH, SAMPLES, SHARDS, initialise_ranks
from bench.field.peers.without_torchvision import stand_in_for_torchvision

stand_in_for_torchvision()

import streaming  # noqa: E402


def write(folder: Path) -> None:
    with streaming.MDSWriter(out=str(folder), columns={"id": "int"}, size_limit=SAMPLES // SHARDS * 12) as out:
        for number in range(SAMPLES):
            out.write({"id": number})


@contextmanager
def reading(folder: Path, rank: int, world_size: int, states: list[Any] | None) -> Iterator[tuple[Any, Callable[[], Any]]]:
    with initialise_ranks(rank, world_size):
        options = {"shuffle": True, "shuffle_seed": 1, "batch_size": BATCH, "num_canonical_nodes": 1}
        dataset = streaming.StreamingDataset(local=str(folder), **options)
        loader = streaming.StreamingDataLoader(dataset, batch_size=BATCH, num_workers=0)
        if states is not None:
            loader.load_state_dict(states[0])
        yield (batch["id"] for batch in loader), loader.state_dict
