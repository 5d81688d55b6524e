"""States that came through a DataLoader's workers, merged, and gone on with by other numbers of ranks and workers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from torch.utils.data import DataLoader
from torchdata.stateful_dataloader import StatefulDataLoader

import asyncwds as wds
from asyncwds.errors import SpecError
from asyncwds.testing import make_shard

pytestmark = [
    pytest.mark.filterwarnings("ignore:This DataLoader will create"),
    pytest.mark.filterwarnings("ignore:'set_vital' is deprecated:UserWarning"),  # torchdata 0.11 with torch 2.13
]

SHARDS, SAMPLES = 7, 5
ALL = sorted(f"k{shard}{n}" for shard in range(SHARDS) for n in range(SAMPLES))


@pytest.fixture
def shards(tmp_path: Path) -> str:
    for shard in range(SHARDS):
        samples = [{"__key__": f"k{shard}{n}", "cls": str(n)} for n in range(SAMPLES)]
        (tmp_path / f"s{shard}.tar").write_bytes(make_shard(samples))
    return f"{tmp_path}/s{{0..{SHARDS - 1}}}.tar"


def key_of(sample: dict[str, Any]) -> str:
    key: str = sample["__key__"]
    return key


def dataset(shards: str) -> Any:
    return wds.WebDataset(shards, shardshuffle=100, seed=1, nodesplitter=wds.split_by_node).shuffle(6).map(key_of)


@contextmanager
def on_rank(rank: int, world_size: int) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RANK", str(rank))
        patch.setenv("WORLD_SIZE", str(world_size))
        yield


def loaded(loader: type, data: Any, workers: int, **options: Any) -> Any:
    return loader(data, batch_size=None, num_workers=workers, multiprocessing_context="fork", **options)


@pytest.mark.parametrize("counts", [[7, 4], [0, 9]])
def test_the_states_in_those_of_a_stateful_data_loader(shards: str, counts: list[int]) -> None:
    given, states = [], []
    for rank, count in enumerate(counts):
        with on_rank(rank, 2):
            loader = loaded(StatefulDataLoader, dataset(shards), 2)
            items = iter(loader)
            given += list(islice(items, count))
            states.append(json.loads(json.dumps(loader.state_dict())))
            del items
    merged = wds.merge_state_dicts(states)
    later = []
    for rank in range(3):
        data, ordinary = dataset(shards), dataset(shards)
        data.load_state_dict(merged)
        ordinary.set_epoch(1)
        with on_rank(rank, 3):
            loader = loaded(DataLoader, data, 2)
            given += list(loader)
            following = list(loader)
            assert following == list(loaded(DataLoader, ordinary, 2))
            later += following
    assert sorted(given) == ALL
    assert sorted(later) == ALL


def by_processes(data: Any) -> Any:
    return wds.loader(data, processes=2, start_method="fork")


def by_web_loader(data: Any) -> Any:
    return wds.WebLoader(data, batch_size=None, num_workers=2, multiprocessing_context="fork")


@pytest.mark.parametrize(("make", "counts"), [(by_processes, [6, 1, 0]), (by_web_loader, [6, 1, 3])])
def test_the_states_of_workers_in_those_of_loaders(shards: str, make: Callable[[Any], Any], counts: list[int]) -> None:
    given, states = [], []
    for rank, count in enumerate(counts):
        with on_rank(rank, 3):
            loader = make(dataset(shards))
            items = iter(loader)
            given += list(islice(items, count))
            states.append(json.loads(json.dumps(loader.state_dict())))
            items.close()
            loader.close()
    data = dataset(shards)
    data.load_state_dict(wds.merge_state_dicts(states))
    assert sorted(given + list(data)) == ALL


def test_states_of_some_batches_ago_are_refused(shards: str) -> None:
    loader = loaded(StatefulDataLoader, dataset(shards), 2, snapshot_every_n_steps=4)
    items = iter(loader)
    for _ in range(6):
        next(items)
    with pytest.raises(SpecError, match="2 batches old"):
        wds.merge_state_dicts([loader.state_dict()])
