"""This library: tar shards, a shuffle buffer, a state for each rank, which others go on from when they are merged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncwds as wds
from bench.exactly_once.rank import BATCH, BUFFER, write_tars


def write(folder: Path) -> None:
    write_tars(folder)


def number_of(sample: wds.Sample) -> int:
    return int(sample["__key__"])


@contextmanager
def reading(folder: Path, rank: int, world_size: int, states: list[Any] | None) -> Iterator[tuple[Any, Callable[[], Any]]]:
    shards = sorted(map(str, folder.glob("*.tar")))
    # The environment says rank and world size.
    samples = wds.WebDataset(shards, shardshuffle=True, seed=1, nodesplitter=wds.split_by_node).shuffle(BUFFER)
    dataset = samples.map(number_of).listed(BATCH)
    if states is not None:
        dataset.load_state_dict(states[rank] if len(states) == world_size else wds.merge_state_dicts(states))
    yield dataset, dataset.state_dict
