"""LanceDB: a table of its own, `StreamingDataset` with splits for 4 and for 3 ranks; the states of all ranks are merged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lancedb
from lancedb.streaming import StreamingDataset
from torch.utils.data import DataLoader

from bench.exactly_once.rank import BATCH, SAMPLES

SPLITS = 12


def write(folder: Path) -> None:
    lancedb.connect(folder).create_table("ids", [{"id": number} for number in range(SAMPLES)])


@contextmanager
def reading(folder: Path, rank: int, world_size: int, states: list[Any] | None) -> Iterator[tuple[Any, Callable[[], Any]]]:
    table = lancedb.connect(folder).open_table("ids")
    dataset = StreamingDataset(table, num_splits=SPLITS, shuffle_seed=1, rank=rank, world_size=world_size)
    if states is not None:
        dataset.load_state_dict(StreamingDataset.merge_state_dicts(states))
    loader = DataLoader(dataset, batch_size=BATCH, num_workers=0)
    yield (batch["id"] for batch in loader), dataset.state_dict
