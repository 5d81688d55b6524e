"""Resuming with torchdata's StatefulDataLoader, in a process that begins anew."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from torch.utils.data import DataLoader
from torchdata.stateful_dataloader import Stateful, StatefulDataLoader

import asyncwds as wds
from asyncwds.testing import make_shard

pytestmark = [
    pytest.mark.filterwarnings("ignore:This DataLoader will create"),
    pytest.mark.filterwarnings("ignore:'set_vital' is deprecated:UserWarning"),  # torchdata 0.11 with torch 2.13
]

SHARDS, SAMPLES = 6, 5
ALL = sorted(f"{shard}{n}" for shard in range(SHARDS) for n in range(SAMPLES))


@pytest.fixture
def shards(tmp_path):
    for shard in range(SHARDS):
        (tmp_path / f"s{shard}.tar").write_bytes(make_shard([{"__key__": f"{shard}{n}", "cls": str(n)} for n in range(SAMPLES)]))
    return f"{tmp_path}/s{{0..{SHARDS - 1}}}.tar"


def key_of(sample: dict[str, Any]) -> str:
    return sample["__key__"]


def dataset(shards: str, kind: str = "shuffled", seed: int | None = 1) -> wds.WebDataset:
    if kind == "bounded":
        return wds.WebDataset(shards, shardshuffle=100, seed=seed).shuffle(10).map(key_of).with_epoch(SAMPLES * 2)
    if kind == "resampled":
        return wds.WebDataset(shards, resampled=True, seed=seed).shuffle(10).map(key_of).with_epoch(SAMPLES * 2)
    if kind == "own iterator":
        return Shouting(shards, shardshuffle=100, seed=seed).shuffle(10).map(key_of)
    return wds.WebDataset(shards, shardshuffle=100, seed=seed).shuffle(10).map(key_of)


class Shouting(wds.WebDataset):
    def __iter__(self):
        for item in super().__iter__():
            yield f"{item}!"


def loader(data: Any, workers: int, **options: Any) -> StatefulDataLoader:
    return StatefulDataLoader(
        data, batch_size=None, num_workers=workers, multiprocessing_context="fork" if workers else None, **options
    )


@pytest.mark.parametrize(
    ("kind", "epochs", "items"),
    [
        ("shuffled", 0, 7),
        ("shuffled", 1, 7),
        ("shuffled", 2, 0),
        ("bounded", 1, SAMPLES * 2 - 1),
        ("resampled", 1, 7),
        ("own iterator", 1, 7),
        ("own iterator", 1, 0),
        ("own iterator", 0, 0),
    ],
)
@pytest.mark.parametrize(("workers", "persistent"), [(0, False), (2, False), (2, True)])
def test_the_rest_of_the_epoch_and_the_next_ones_are_what_they_would_have_been(shards, kind, workers, persistent, epochs, items):
    first = loader(dataset(shards, kind), workers, persistent_workers=persistent)
    seen = [list(first) for _ in range(epochs)]
    running = iter(first)
    before = [next(running) for _ in range(items)]
    state = first.state_dict()
    rest, following = list(running), list(first)
    assert len({*map(tuple, [*seen, before + rest, following])}) == epochs + 2
    if kind == "shuffled":
        assert sorted(before + rest) == sorted(following) == ALL

    second = loader(dataset(shards, kind), workers, persistent_workers=persistent)
    second.load_state_dict(state)
    assert [list(second), list(second)] == [rest, following]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_seed_that_was_drawn_is_that_of_the_epoch_that_is_resumed(shards, workers):
    first = loader(dataset(shards, seed=None), workers)
    list(first)
    running = iter(first)
    for _ in range(7):
        next(running)
    state, rest = first.state_dict(), list(running)
    second = loader(dataset(shards, seed=None), workers)
    second.load_state_dict(state)
    assert list(second) == rest


@pytest.mark.parametrize("workers", [0, 2])
def test_after_a_whole_epoch_the_next_one_comes(shards, workers):
    first = loader(dataset(shards), workers)
    list(first)
    list(first)
    state = first.state_dict()
    expected = list(first)
    second = loader(dataset(shards), workers)
    second.load_state_dict(state)
    assert list(second) == expected


@pytest.mark.parametrize("workers", [0, 2])
def test_resumed_twice(shards, workers):
    """Also where what was resumed is what a state is taken of, before and after more items."""
    whole = loader(dataset(shards), workers)
    list(whole)
    running = iter(whole)
    before = [next(running) for _ in range(4)]
    state, rest = whole.state_dict(), list(running)
    for count in (0, 3):
        resumed = loader(dataset(shards), workers)
        resumed.load_state_dict(state)
        running = iter(resumed)
        more = [next(running) for _ in range(count)]
        again = loader(dataset(shards), workers)
        again.load_state_dict(resumed.state_dict())
        assert more + list(again) == rest
        del running
    assert sorted(before + rest) == ALL


def test_a_worker_that_has_ended_gives_nothing_more(shards):
    """Of three workers the last one has no more than two samples."""

    def uneven() -> Any:
        return dataset(shards).select(lambda key: key[0] not in "25" or key in ("20", "50"))

    first = loader(uneven(), 3)
    list(first)
    running = iter(first)
    before = [next(running) for _ in range(14)]
    state, rest = first.state_dict(), list(running)
    assert len(before + rest) == 22
    second = loader(uneven(), 3)
    second.load_state_dict(state)
    assert list(second) == rest


def test_snapshots_now_and_then(shards):
    first = loader(dataset(shards), 2, snapshot_every_n_steps=4)
    list(first)
    running = iter(first)
    for _ in range(10):
        next(running)
    state, rest = first.state_dict(), list(running)
    second = loader(dataset(shards), 2, snapshot_every_n_steps=4)
    second.load_state_dict(state)
    assert list(second) == rest


def test_batches_that_the_loader_makes(shards):
    first = StatefulDataLoader(dataset(shards), batch_size=4)
    list(first)
    running = iter(first)
    next(running)
    state, rest = first.state_dict(), list(running)
    second = StatefulDataLoader(dataset(shards), batch_size=4)
    second.load_state_dict(state)
    assert list(second) == rest
    assert len(rest) == 7


@pytest.mark.filterwarnings("ignore:shuffle holds items of RandomMix:asyncwds.errors.ResumeWarning")
def test_a_mix(shards):
    def mix() -> Any:
        members = [wds.WebDataset(shards, shardshuffle=100, seed=seed).map(key_of) for seed in (1, 2)]
        return wds.FluidWrapper(wds.RandomMix(members)).shuffle(5)

    first = loader(mix(), 2)
    list(first)
    running = iter(first)
    for _ in range(9):
        next(running)
    state, rest = first.state_dict(), list(running)
    second = loader(mix(), 2)
    second.load_state_dict(state)
    assert list(second) == rest


def test_in_another_process(shards, tmp_path):
    code = f"""
import json, sys
import asyncwds as wds
from torchdata.stateful_dataloader import StatefulDataLoader
data = wds.WebDataset({shards!r}, shardshuffle=100).shuffle(10).map(lambda sample: sample["__key__"])
loader = StatefulDataLoader(data, batch_size=None)
loader.load_state_dict(json.loads(sys.stdin.read()))
print(json.dumps([list(loader), list(loader)]))
"""
    first = loader(dataset(shards, seed=None), 0)
    list(first)
    running = iter(first)
    for _ in range(9):
        next(running)
    state = json.dumps(first.state_dict())
    expected = [list(running), list(first)]
    printed = subprocess.run([sys.executable, "-c", code], input=state, capture_output=True, text=True, check=True).stdout
    assert json.loads(printed) == expected


def test_datasets_and_loaders_of_ours_have_a_state(shards):
    data = dataset(shards)
    assert isinstance(data, Stateful)
    assert isinstance(wds.FluidWrapper(data), Stateful)
    assert isinstance(wds.WebLoader(data, batch_size=None), Stateful)
    assert isinstance(wds.loader(data), Stateful)


def test_torchs_own_loader_is_not_concerned(shards):
    data = dataset(shards)
    plain = DataLoader(data, batch_size=None, num_workers=2, multiprocessing_context="fork")
    epochs = [list(plain) for _ in range(2)]
    assert epochs[0] != epochs[1]
    assert [sorted(epoch) for epoch in epochs] == [ALL, ALL]
