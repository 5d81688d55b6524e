"""Bugs of others in resuming, with torchdata's StatefulDataLoader: each case names the public issue that it stands for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from torchdata.stateful_dataloader import StatefulDataLoader

import asyncwds as wds
from asyncwds.errors import SpecError
from asyncwds.testing import make_shard

pytestmark = [
    pytest.mark.filterwarnings("ignore:This DataLoader will create"),
    pytest.mark.filterwarnings("ignore:'set_vital' is deprecated:UserWarning"),  # torchdata 0.11 with torch 2.13
]

SIZES = (5, 5, 1, 5, 5, 2)  # samples of the shards: of three workers the last one has three
ALL = sorted(f"{shard}{n}" for shard, size in enumerate(SIZES) for n in range(size))
KINDS: dict[str, dict[str, Any]] = {
    "in process": {"num_workers": 0},
    "workers": {"num_workers": 2},
    "uneven workers": {"num_workers": 3},
    "workers that stay": {"num_workers": 3, "persistent_workers": True},
    "few snapshots": {"num_workers": 3, "snapshot_every_n_steps": 4},
    "one snapshot": {"num_workers": 2, "snapshot_every_n_steps": 1000, "persistent_workers": True},
}


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("shards")
    for shard, size in enumerate(SIZES):
        samples = [{"__key__": f"{shard}{n}", "txt": str(n), "bin": bytes(20_000)} for n in range(size)]
        (folder / f"s{shard}.tar").write_bytes(make_shard(samples))
    return f"{folder}/s{{0..{len(SIZES) - 1}}}.tar"


def key_of(sample: dict[str, Any]) -> str:
    return sample["__key__"]


def loader(shards: str, kind: str = "uneven workers", **options: Any) -> StatefulDataLoader:
    options = KINDS[kind] | options
    dataset: Any = wds.WebDataset(shards, seed=1).shuffle(6).map(key_of)
    return StatefulDataLoader(
        dataset, batch_size=None, multiprocessing_context="fork" if options["num_workers"] else None, **options
    )


def epochs_of(shards: str, kind: str, number: int) -> list[list[str]]:
    whole = loader(shards, kind)
    epochs = [list(whole) for _ in range(number)]
    assert [sorted(epoch) for epoch in epochs] == [ALL] * number
    return epochs


def saved(running: StatefulDataLoader) -> Any:
    return json.loads(json.dumps(running.state_dict()))


def taken(items: Iterator[str], number: int) -> list[str]:
    return [next(items) for _ in range(number)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_state_after_a_resume_goes_on_and_not_back(shards: str, kind: str) -> None:
    """datasets 8308, torchtitan 3907: after a resume the state did not move, so that a second one began from the start."""
    epochs, given, state = epochs_of(shards, kind, 2), [], None
    for step in (4, 0, 1, 9):
        running = loader(shards, kind)
        if state is not None:
            running.load_state_dict(state)
        items = iter(running)
        given += taken(items, step)
        state = saved(running)
        del items
    last = loader(shards, kind)
    last.load_state_dict(state)
    assert [given + list(last), list(last)] == epochs


@pytest.mark.parametrize("kind", KINDS)
def test_epochs_after_the_one_that_was_gone_on_with_are_whole(shards: str, kind: str) -> None:
    """datasets 7447: with workers that stay, each later epoch had what was left of the one that was gone on with."""
    epochs = epochs_of(shards, kind, 4)
    running = loader(shards, kind)
    list(running)
    given = taken(iter(running), 19)
    resumed = loader(shards, kind)
    resumed.load_state_dict(saved(running))
    assert [given + list(resumed), list(resumed), list(resumed)] == epochs[1:]


@pytest.mark.parametrize("beyond", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_at_the_end_of_an_epoch(shards: str, kind: str, beyond: bool) -> None:
    """data 1437, torchtitan 1357: a state of the end lost the next epoch, or began the first again."""
    epochs = epochs_of(shards, kind, 3)
    running = loader(shards, kind)
    list(running)
    items = iter(running)
    taken(items, len(ALL))
    if beyond:
        assert next(items, None) is None
    state = saved(running)
    resumed = loader(shards, kind)
    resumed.load_state_dict(state)
    if not beyond:
        assert list(resumed) == []
    assert list(resumed) == epochs[2]


@pytest.mark.parametrize("kind", ["uneven workers", "workers that stay", "few snapshots"])
def test_some_workers_are_done_and_others_go_on(shards: str, kind: str) -> None:
    """litData 563."""
    (epoch,) = epochs_of(shards, kind, 1)
    for cut in (7, 10, 11, 18, 22):  # the last worker has its third item at 9
        running = loader(shards, kind)
        given = taken(iter(running), cut)
        resumed = loader(shards, kind)
        resumed.load_state_dict(saved(running))
        assert given + list(resumed) == epoch, cut


@pytest.mark.parametrize("kind", ["in process", "workers"])
def test_what_a_shuffle_holds_is_in_the_state_by_its_places(shards: str, kind: str) -> None:
    """datasets 8408, 7901: the buffer was lost and samples came twice; data 1317: with its samples a state takes seconds."""
    (epoch,) = epochs_of(shards, kind, 1)
    running = loader(shards, kind)
    given = taken(iter(running), 8)
    state = running.state_dict()
    assert len(json.dumps(state)) < 20_000  # one sample has more
    resumed = loader(shards, kind)
    resumed.load_state_dict(state)
    assert given + list(resumed) == epoch


@pytest.mark.parametrize("before", [2, 3])
def test_states_of_other_numbers_of_ranks_are_refused(shards: str, before: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Megatron-Bridge 5637, torchtitan 811: going on with fewer ranks dropped the states of those that were missing."""

    def of_rank(rank: int, ranks: int) -> StatefulDataLoader:
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", str(ranks))
        dataset: Any = wds.WebDataset(shards, seed=1, nodesplitter=wds.split_by_node).shuffle(6).map(key_of)
        return StatefulDataLoader(dataset, batch_size=None)

    running = of_rank(0, before)
    taken(iter(running), 3)
    other = of_rank(0, 1)
    other.load_state_dict(running.state_dict())
    with pytest.raises(SpecError, match=f"worker 0 of 1 of rank 0 of {before}, and this is worker 0 of 1 of rank 0 of 1"):
        next(iter(other))


def test_the_state_of_another_rank_is_refused_and_so_is_none(shards: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """torchtitan 409: the checkpoint had the state of rank 0 alone, and the others got nothing, or that one."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    dataset = wds.WebDataset(shards, seed=1, nodesplitter=wds.split_by_node).map(key_of)
    taken(iter(dataset), 3)
    monkeypatch.setenv("RANK", "1")
    other = wds.WebDataset(shards, seed=1, nodesplitter=wds.split_by_node).map(key_of)
    other.load_state_dict(dataset.state_dict())
    with pytest.raises(SpecError, match="rank 0 of 2, and this is worker 0 of 1 of rank 1 of 2"):
        iter(other)
    with pytest.raises(SpecError, match="not the state of a pipeline"):
        other.load_state_dict({})
