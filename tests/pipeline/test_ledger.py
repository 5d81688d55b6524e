"""A ledger says which samples were in which step, also after stops, and a step is made again from it."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import pytest

import asyncwds as wds
from asyncwds.errors import ChangedError, SpecError
from asyncwds.testing import FaultServer, make_shard

SHARDS, SAMPLES = 4, 10


def shard(number: int) -> bytes:
    return make_shard([{"__key__": f"{number}{n}", "cls": str(n)} for n in range(SAMPLES)])


@pytest.fixture
def urls(tmp_path: Path) -> str:
    for number in range(SHARDS):
        (tmp_path / f"s{number}.tar").write_bytes(shard(number))
        (tmp_path / f"z{number}.tar.gz").write_bytes(gzip.compress(shard(number)))
    return f"{tmp_path}/s{{0..{SHARDS - 1}}}.tar"


def draw(sample: Any, rng: Random) -> Any:
    return sample["__key__"], rng.random()


def not_7(sample: Any) -> bool:
    return sample["__key__"][1] != "7"


Build = Callable[[Any], Any]
PIPELINES: dict[str, Build] = {
    "samples": lambda ds: ds.map(lambda sample: sample["__key__"]),
    "batches": lambda ds: ds.shuffle(16).to_tuple("__key__", "cls").batched(7),
    "drawn": lambda ds: ds.shuffle(8).map(draw).listed(5),
    "in parallel": lambda ds: ds.map(draw, workers=3).shuffle(8).listed(5),
    "selected": lambda ds: ds.select(not_7).rsample(0.8).to_tuple("__key__").listed(3, partial=False),
    "twice": lambda ds: ds.listed(2).listed(3),
    "passes": lambda ds: ds.shuffle(8).to_tuple("__key__").batched(7).with_epoch(9),
    "interleaved": lambda ds: ds.map(draw),
}


def make(urls: str, name: str, path: Path, seed: int = 3) -> Any:
    prefetch = wds.Prefetch(interleave=3, interleave_samples=2) if name == "interleaved" else None
    return PIPELINES[name](wds.WebDataset(urls, shardshuffle=True, seed=seed, ledger=path, prefetch=prefetch))


@pytest.mark.parametrize("name", PIPELINES)
def test_each_step_is_made_again(urls: str, tmp_path: Path, name: str) -> None:
    path = tmp_path / "steps.jsonl"
    dataset = make(urls, name, path)
    given = list(dataset) + list(dataset)
    other = make(urls, name, path, seed=4)  # that of then counts
    assert [wds.replay(other, path, step) for step in range(len(given))] == given
    steps = wds.read_ledger(path)
    assert (len(steps), steps[-1].epoch) == (len(given), 1)
    with pytest.raises(IndexError, match="and no number"):
        wds.replay(other, steps, len(given))


def test_a_step_names_its_samples(urls: str, tmp_path: Path) -> None:
    path = tmp_path / "steps.jsonl"
    dataset = make(urls, "batches", path)
    keys = [list(batch[0]) for batch in dataset]
    steps = wds.read_ledger(path)
    assert [[sample.key for sample in step.samples] for step in steps] == keys
    first = steps[0].samples[0]
    shard, ordinal = int(first.key[0]), int(first.key[1])
    assert (first.url, first.origin) == (f"{tmp_path}/s{shard}.tar", (shard, ordinal, 1024 * ordinal))
    assert repr(steps) == f"<6 steps of 1 epoch in {path}>"


@pytest.mark.parametrize("taken", [0, 1, 4, 6])
def test_steps_go_on_where_a_state_was_taken(urls: str, tmp_path: Path, taken: int) -> None:
    whole, path = tmp_path / "whole.jsonl", tmp_path / "steps.jsonl"
    list(make(urls, "batches", whole))
    dataset = make(urls, "batches", path)
    items = iter(dataset)
    list(islice(items, taken))
    state = json.loads(json.dumps(dataset.state_dict()))
    list(islice(items, 1))  # what comes after the state is lost, and written
    items.close()
    resumed = make(urls, "batches", path)
    resumed.load_state_dict(state)
    list(resumed)
    assert list(wds.read_ledger(path)) == list(wds.read_ledger(whole))


def test_an_epoch_that_begins_again_replaces_what_was_written_of_it(urls: str, tmp_path: Path) -> None:
    path = tmp_path / "steps.jsonl"
    dataset = make(urls, "batches", path)
    for _ in range(2):
        list(dataset)
    dataset.set_epoch(1)
    assert len(list(islice(dataset, 2))) == 2
    assert [step.epoch for step in wds.read_ledger(path)] == [0] * 6 + [1] * 2
    with path.open("a") as file:
        file.write('{"epoch": 1, "st')  # as a process leaves it that is killed
    list(dataset)
    assert [step.epoch for step in wds.read_ledger(path)] == [0] * 6 + [1] * 2 + [2] * 6


def test_a_process_that_is_killed_loses_only_what_came_after_its_state(urls: str, tmp_path: Path) -> None:
    program = (
        "import asyncwds as wds, json, sys\n"
        "ds = wds.WebDataset(sys.argv[1], shardshuffle=True, seed=3, ledger=sys.argv[2])\n"
        "ds = ds.shuffle(16).to_tuple('__key__', 'cls').batched(7)\n"
        "for number, batch in enumerate(ds):\n"
        "    if number == 2:\n"
        "        print(json.dumps(ds.state_dict()), flush=True)\n"
        "    if number == 4:\n"
        "        input()\n"
    )
    path = tmp_path / "steps.jsonl"
    process = subprocess.Popen(
        [sys.executable, "-c", program, urls, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    state = json.loads(process.stdout.readline())
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert len(wds.read_ledger(path)) == 3
    resumed = make(urls, "batches", path)
    resumed.load_state_dict(state)
    list(resumed)
    whole = tmp_path / "whole.jsonl"
    list(make(urls, "batches", whole))
    assert list(wds.read_ledger(path)) == list(wds.read_ledger(whole))


async def test_an_asynchronous_loop_writes_what_it_took(urls: str, tmp_path: Path) -> None:
    path = tmp_path / "steps.jsonl"
    items = aiter(make(urls, "samples", path))
    keys = [await anext(items)]
    await asyncio.sleep(0.2)  # all of the epoch is made meanwhile, or nothing more
    keys += [await anext(items) for _ in range(10)]
    await items.aclose()
    assert [step.samples[0].key for step in wds.read_ledger(path)] == keys
    async for _ in make(urls, "samples", path):
        pass
    assert len(wds.read_ledger(path)) == SHARDS * SAMPLES


def test_workers_and_ranks_have_files_of_their_own(urls: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    path = tmp_path / "steps.jsonl"
    dataset = (
        wds.WebDataset([f"{tmp_path}/s{n}.tar" for n in (0, 1, 0, 2)], nodesplitter=None, shardshuffle=False, ledger=path)
        .to_tuple("__key__")
        .listed(4)
    )
    with wds.loader(dataset, 3, start_method="fork") as loader:
        given = list(loader)
    names = {f"steps.rank1.worker{worker}.jsonl" for worker in range(3)}
    assert {each.name for each in tmp_path.glob("*.jsonl")} == names
    steps = wds.read_ledger(path, rank=1)
    assert [[(sample.key,) for sample in step.samples] for step in steps] == [[tuple(key) for key in batch] for batch in given]
    assert [list(map(tuple, wds.replay(dataset, path, step, rank=1))) for step in (0, 5)] == [
        [tuple(key) for key in given[step]] for step in (0, 5)
    ]
    with pytest.raises(SpecError, match="there is no ledger"):
        wds.read_ledger(path)


def test_a_step_of_compressed_shards(urls: str, tmp_path: Path) -> None:
    path = tmp_path / "steps.jsonl"
    dataset = make(urls.replace("s{", "z{").replace(".tar", ".tar.gz"), "batches", path)
    given = list(dataset)
    assert wds.replay(dataset, path, 3) == given[3]


def test_only_the_samples_of_the_step_are_fetched_and_of_the_shard_that_it_was(tmp_path: Path) -> None:
    big = make_shard([{"__key__": str(n), "bin": bytes([n]) * 2_000_000} for n in range(8)])
    path = tmp_path / "steps.jsonl"
    with FaultServer({"a.tar": big}) as server:
        dataset = wds.WebDataset(server.url("a.tar") + "?token=secret", shardshuffle=False, ledger=path).to_tuple("bin")
        given = list(dataset)
        assert "secret" not in path.read_text()
        before = server.counters.bytes_sent
        assert wds.replay(dataset, path, 5) == given[5]
        assert server.counters.bytes_sent - before < 5_000_000
    other = make_shard([{"__key__": str(n), "bin": bytes([n + 1]) * 2_000_000} for n in range(8)])
    with FaultServer({"a.tar": other}, port=0) as server:
        moved = wds.WebDataset(server.url("a.tar"), shardshuffle=False).to_tuple("bin")
        with pytest.raises(SpecError, match="shard 0 of the dataset is"):
            wds.replay(moved, path, 5)


def test_a_shard_that_was_replaced(urls: str, tmp_path: Path) -> None:
    path = tmp_path / "steps.jsonl"
    dataset = make(urls, "samples", path)
    list(dataset)
    for number in range(SHARDS):
        (tmp_path / f"s{number}.tar").write_bytes(make_shard([{"__key__": "other", "txt": "x"}] * 1))
    with pytest.raises(ChangedError, match="replaced"):
        wds.replay(dataset, path, 0)


def test_what_cannot_be_made_again_says_so(urls: str, tmp_path: Path) -> None:
    path = tmp_path / "steps.jsonl"
    dataset = wds.WebDataset(urls, shardshuffle=False, ledger=path)
    list(dataset)
    with pytest.raises(SpecError, match="the stages make 0 items"):
        wds.replay(dataset.select(lambda _: False), path, 0)
    with pytest.raises(SpecError, match="begins with shards"):
        wds.replay(wds.DataPipeline([[1, 2]]), path, 0)
    with pytest.raises(SpecError, match="there is no ledger"):
        wds.replay(dataset, tmp_path / "none.jsonl", 0)
