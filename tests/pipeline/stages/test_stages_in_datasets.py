"""Stages in a dataset: they follow its seed, epoch and place, and what they keep or skip is the dataset's."""

from __future__ import annotations

import pickle
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

import asyncwds as wds
from asyncwds.pipeline import RunContext, compose, run_alone
from asyncwds.testing import leaks, make_shard

SHARDS, SAMPLES = 2, 100
ALL = [f"{shard}{n:02}" for shard in range(SHARDS) for n in range(SAMPLES)]


@pytest.fixture
def urls(tmp_path: Path) -> str:
    for shard in range(SHARDS):
        samples = [{"__key__": f"{shard}{n:02}", "cls": str(n)} for n in range(SAMPLES)]
        (tmp_path / f"s{shard}.tar").write_bytes(make_shard(samples))
    return f"{tmp_path}/s{{0..{SHARDS - 1}}}.tar"


def keys(dataset: Any) -> list[str]:
    return [sample["__key__"] for sample in dataset]


@pytest.mark.parametrize(
    "stage",
    [wds.rsample(0.5), wds.shuffle(50), wds.pipelinefilter(islice)(150), wds.detshuffle(50)],
    ids=lambda stage: repr(stage)[:9],
)
def test_orders_are_those_of_seed_and_epoch(urls: str, stage: Any) -> None:
    dataset = wds.WebDataset(urls, seed=1).compose(stage)
    epochs = [keys(dataset) for _ in range(3)]
    random = "islice" not in repr(stage)
    assert len({tuple(epoch) for epoch in epochs}) == (3 if random else 1)
    dataset.set_epoch(1)
    assert keys(dataset) == epochs[1]
    assert keys(pickle.loads(pickle.dumps(wds.WebDataset(urls, seed=1).compose(stage)))) == epochs[0]
    depends = random and not isinstance(stage, wds.detshuffle)
    assert (keys(wds.WebDataset(urls, seed=2).compose(stage)) != epochs[0]) == depends


def test_two_random_stages_draw_each_on_its_own(urls: str) -> None:
    twice = keys(wds.WebDataset(urls, seed=1).compose(wds.rsample(0.5), wds.rsample(0.5)))
    assert 20 < len(twice) < 80  # the same draws would keep a half of the half that they kept before, or nearly none


def test_ranks_choose_differently(urls: str, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = []
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in "01":
        monkeypatch.setenv("RANK", rank)
        chosen.append(keys(wds.WebDataset(urls, seed=1, nodesplitter=None).compose(wds.rsample(0.5))))
    assert chosen[0] != chosen[1]


def test_keys_are_logged_with_the_place(urls: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("RANK", "1"), ("WORLD_SIZE", "2"), ("WORKER", "3"), ("NUM_WORKERS", "4")):
        monkeypatch.setenv(name, value)
    dataset = wds.WebDataset(urls, nodesplitter=None, workersplitter=None).compose(wds.log_keys(tmp_path / "log"))
    assert keys(dataset) == ALL
    assert (tmp_path / "log").read_text().splitlines() == [f"{number}\t3\t1\t{key}" for number, key in enumerate(ALL)]


CACHES = ["Cached", pytest.param("LMDBCached", marks=pytest.mark.needs("lmdb"))]


def cache(name: str, folder: Path) -> Any:
    return wds.Cached() if name == "Cached" else wds.LMDBCached(folder / "cache")


@pytest.mark.parametrize("name", CACHES)
def test_the_second_epoch_comes_from_the_cache(urls: str, tmp_path: Path, name: str) -> None:
    calls: list[str] = []

    def count(sample: dict[str, Any]) -> dict[str, Any]:
        calls.append(sample["__key__"])
        return sample

    dataset = wds.WebDataset(urls, seed=1).map(count).compose(cache(name, tmp_path)).compose(wds.shuffle(50))
    with leaks():
        for _ in dataset:
            break
        calls.clear()
        epochs = [keys(dataset) for _ in range(3)]
    assert calls == ALL
    assert all(sorted(epoch) == ALL for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


@pytest.mark.parametrize("name", CACHES)
def test_a_complete_cache_needs_no_shards(urls: str, tmp_path: Path, name: str) -> None:
    dataset = wds.WebDataset(urls).select(bool).compose(cache(name, tmp_path)).map(lambda sample: sample["__key__"])
    assert list(dataset) == ALL
    for shard in range(SHARDS):
        (tmp_path / f"s{shard}.tar").unlink()
    assert list(dataset.with_epoch(2 * len(ALL))) == ALL * 2
    assert list(dataset.repeat(1)) == ALL
    assert dataset.stats().requests == dataset.stats().shards == 0


def test_the_last_complete_cache_counts(urls: str) -> None:
    first, second = wds.Cached(), wds.Cached()
    dataset = wds.WebDataset(urls).compose(first, wds.slice(5), second)
    assert len(list(dataset)) == len(list(dataset)) == 5
    assert list(run_alone(second, [], RunContext(0))) == list(dataset)
    assert not first.replays(RunContext(0))  # `slice` left it early


def test_skipped_samples_are_counted_also_in_a_composition(urls: str) -> None:
    def fail(sample: dict[str, Any]) -> None:
        raise ValueError(sample["__key__"])

    for stage in (wds.map(fail, wds.ignore_and_continue), compose(wds.shuffle(5), wds.map(fail, wds.ignore_and_continue))):
        dataset = wds.WebDataset(urls, empty_check=False).compose(stage)
        assert list(dataset) == []
        assert dataset.stats().samples_failed == len(ALL)


async def test_asynchronous_iteration_fills_a_cache_too(urls: str) -> None:
    dataset = wds.WebDataset(urls).compose(wds.Cached())
    assert [sample["__key__"] async for sample in dataset] == ALL
    assert keys(dataset) == ALL


@pytest.mark.needs("torch")
@pytest.mark.parametrize("name", CACHES)
def test_workers_keep_what_is_theirs(urls: str, tmp_path: Path, name: str) -> None:
    from torch.utils.data import DataLoader

    dataset = wds.WebDataset(urls).compose(cache(name, tmp_path)).map(lambda sample: sample["__key__"])
    assert list(dataset) == ALL  # all of it is kept in this process, and must not come from each worker
    loader = DataLoader(dataset, batch_size=None, num_workers=2, persistent_workers=True, multiprocessing_context="fork")
    assert [sorted(loader) for _ in range(3)] == [ALL] * 3
    del loader
