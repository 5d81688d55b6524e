"""`TrainingLoader` by itself: what trainers do with it is in `test_resume_*.py`."""

from __future__ import annotations

import json
import multiprocessing
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader
from torchdata.stateful_dataloader import StatefulDataLoader

import asyncwds as wds
from asyncwds.errors import SpecError
from asyncwds.testing import write_shards

pytestmark = [
    pytest.mark.filterwarnings("ignore:This DataLoader will create"),
    pytest.mark.filterwarnings("ignore:'set_vital' is deprecated:UserWarning"),  # torchdata 0.11 with torch 2.13
]

BATCHES = 8


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("shards")
    write_shards(folder, shards=8, samples=4)
    return f"{folder}/*.tar"


def dataset(shards: str) -> Any:
    keys = wds.WebDataset(shards, shardshuffle=True, seed=1, nodesplitter=wds.split_by_node).shuffle(9)
    return keys.map(lambda sample: sample["__key__"]).listed(4)


def loader(shards: str, ahead: int = 0, **options: Any) -> wds.TrainingLoader[list[str]]:
    return wds.TrainingLoader(StatefulDataLoader(dataset(shards), batch_size=None, **options), ahead)


def saved(state: Any) -> Any:
    return json.loads(json.dumps(state))


@pytest.mark.parametrize("ahead", [0, 1, 2])
@pytest.mark.parametrize("used", [0, 1, 5, BATCHES])
def test_a_trainer_that_fetches_ahead_goes_on_with_what_it_has_not_used(shards: str, ahead: int, used: int) -> None:
    whole = loader(shards)
    epochs = [list(whole) for _ in range(3)]
    running = loader(shards, ahead)
    assert list(running) == epochs[0]
    batches = iter(running)
    fetched = list(islice(batches, used + ahead))  # at the end it has seen that there are no more
    state = saved(running.state_dict())
    assert fetched[:used] == epochs[1][:used]
    resumed = loader(shards, ahead)
    resumed.load_state_dict(state)
    assert saved(resumed.state_dict()) == state
    rest = epochs[1:] if used < BATCHES else epochs[2:]  # an iteration without batches would be the end of the data
    assert list(resumed) == (rest[0][used:] if used < BATCHES else rest[0])
    assert used == BATCHES or list(resumed) == rest[1]


def test_an_empty_dataset_stays_empty(tmp_path: Path) -> None:
    write_shards(tmp_path, shards=1, samples=4)
    running = wds.TrainingLoader(wds.WebDataset(f"{tmp_path}/*.tar", seed=1).select(lambda _: False))
    assert list(running) == []
    running.load_state_dict(running.state_dict())
    assert list(running) == []


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda shards: DataLoader(dataset(shards), batch_size=None), "has no state_dict; a StatefulDataLoader has"),
        (lambda shards: StatefulDataLoader(dataset(shards), batch_size=None, num_workers=2, in_order=False), "in_order=False"),
    ],
)
def test_loaders_that_would_not_go_on_are_refused(shards: str, make: Any, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        wds.TrainingLoader(make(shards))


def run_rank(shards: str, folder: Path, rank: int) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/group", rank=rank, world_size=2)
    running = loader(shards)
    batches = iter(running)
    list(islice(batches, 2))
    state = running.state_dict()
    if rank == 0:  # as trainers do
        (folder / "state.json").write_text(json.dumps(state))
    rest = list(batches)
    torch.distributed.barrier()
    resumed = loader(shards)
    resumed.load_state_dict(json.loads((folder / "state.json").read_text()))
    (folder / f"{rank}.json").write_text(json.dumps([rest, list(resumed)]))
    torch.distributed.destroy_process_group()


def test_of_several_ranks_each_goes_on_with_its_own_state(shards: str, tmp_path: Path) -> None:
    """torchtitan 291, 409: the checkpoint had the state of rank 0, for all."""
    fork = multiprocessing.get_context("fork")
    ranks = [fork.Process(target=run_rank, args=(shards, tmp_path, rank)) for rank in range(2)]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join()
    found = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
    assert all(rest == resumed and rest for rest, resumed in found)
    assert found[0] != found[1]
    with pytest.raises(SpecError, match="the state is of 2 ranks, and here are 1"):
        loader(shards).load_state_dict(json.loads((tmp_path / "state.json").read_text()))
