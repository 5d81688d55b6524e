"""Hugging Face datasets: tar shards, a shuffle buffer, `IterableDataset.state_dict`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from datasets import load_dataset
from datasets.distributed import split_dataset_by_node

from bench.exactly_once.rank import BATCH, BUFFER, write_tars


def write(folder: Path) -> None:
    write_tars(folder)


@contextmanager
def reading(folder: Path, rank: int, world_size: int, states: list[Any] | None) -> Iterator[tuple[Any, Callable[[], Any]]]:
    shards = sorted(map(str, folder.glob("*.tar")))
    dataset = load_dataset("webdataset", data_files=shards, split="train", streaming=True).shuffle(seed=1, buffer_size=BUFFER)
    dataset = split_dataset_by_node(dataset, rank, world_size).batch(BATCH)
    if states is not None:
        dataset.load_state_dict(states[rank])
    yield ([int(key) for key in batch["__key__"]] for batch in dataset), dataset.state_dict
