"""Mixes and the like in torch's DataLoader."""

from __future__ import annotations

import pickle
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset

import asyncwds as wds
from asyncwds.testing import leaks, make_shard

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")


def key_of(sample: dict[str, Any]) -> str:
    return str(sample["__key__"])


@pytest.fixture
def datasets(tmp_path: Any) -> list[wds.WebDataset]:
    for name in "ab":
        for shard in range(4):
            samples = [{"__key__": f"{name}{shard}{n}", "bin": b""} for n in range(5)]
            (tmp_path / f"{name}{shard}.tar").write_bytes(make_shard(samples))
    return [wds.WebDataset(f"{tmp_path}/{name}{{0..3}}.tar", seed=1).map(key_of) for name in "ab"]


@pytest.mark.parametrize(("context", "workers"), [("fork", 2), ("forkserver", 1)])
@pytest.mark.parametrize("kind", [wds.RoundRobin, wds.RandomMix])
def test_every_sample_comes_once(kind: Any, datasets: list[wds.WebDataset], context: str, workers: int) -> None:
    mix = kind(datasets, longest=True)
    expected = sorted(f"{name}{shard}{n}" for name in "ab" for shard in range(4) for n in range(5))
    loader = DataLoader(mix, batch_size=None, num_workers=workers, multiprocessing_context=context)
    # With "forkserver", Python leaves a process running that watches over what all others share.
    with leaks() if context == "fork" else nullcontext():
        assert sorted(loader) == sorted(DataLoader(mix, batch_size=None)) == expected


def test_each_worker_draws_its_own() -> None:
    mix = wds.RandomMix([[0] * 100, [1] * 100], longest=True, seed=3)
    items = list(DataLoader(mix, batch_size=None, num_workers=2))
    first, second = items[::2], items[1::2]
    assert sorted(first) == sorted(second)
    assert first != second
    assert first == list(wds.RandomMix([[0] * 100, [1] * 100], longest=True, seed=3))


@pytest.mark.parametrize("dataset", [wds.MockDataset(torch.ones(2), 3), wds.with_epoch([1, 2], 3), wds.with_length([1, 2, 3], 3)])
def test_the_others_are_iterable_datasets_too(dataset: Any) -> None:
    assert isinstance(dataset, IterableDataset)
    assert isinstance(pickle.loads(pickle.dumps(dataset)), type(dataset))
    assert len(list(DataLoader(dataset, batch_size=None, num_workers=1))) == 3
    assert len(list(DataLoader(dataset, batch_size=3))) == 1


@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize("fluent", [False, True])
def test_epochs_in_workers(datasets: list[wds.WebDataset], persistent: bool, fluent: bool) -> None:
    mix: Any = wds.RandomMix(datasets, longest=True, seed=5)
    mix = wds.FluidWrapper(mix) if fluent else mix
    loader = DataLoader(mix, batch_size=None, num_workers=2, persistent_workers=persistent)
    epochs = [list(loader) for _ in range(3)]
    assert len({tuple(epoch) for epoch in epochs}) == 3
    mix.set_epoch(1)
    assert list(loader) == epochs[1]
    del loader
