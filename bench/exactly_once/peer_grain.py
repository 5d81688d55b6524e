"""Grain: a map-style source with a shuffle of indices; `ElasticIterator` for other numbers of shards."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grain
from grain.experimental import ElasticIterator

from bench.exactly_once.rank import BATCH, SAMPLES


def write(folder: Path) -> None:
    """Ids are all that is needed: it has no tar shards."""
    folder.mkdir(exist_ok=True)


@contextmanager
def reading(folder: Path, rank: int, world_size: int, states: list[Any] | None) -> Iterator[tuple[Any, Callable[[], Any]]]:  # noqa: ARG001
    ids = grain.MapDataset.range(SAMPLES).seed(1).shuffle()
    shards = grain.sharding.ShardOptions(shard_index=rank, shard_count=world_size)
    batches = iter(ElasticIterator(ids, BATCH * world_size, shards))
    if states is not None:
        batches.set_state(states[0])
    yield batches, lambda: json.loads(json.dumps(batches.get_state()))
