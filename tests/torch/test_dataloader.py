"""The dataset in torch's DataLoader."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading

import pytest
import torch
from foo_store import Foo
from torch.utils.data import DataLoader, IterableDataset

import asyncwds as wds
from asyncwds import WorkerInfo
from asyncwds.errors import TruncatedTarError
from asyncwds.runtime import current_worker_info
from asyncwds.testing import FaultServer, leaks, make_shard

# torch warns of more workers than cores; the tests are about the number of workers, not about speed.
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")

SHARDS, SAMPLES = 8, 5
ALL = [f"{shard}{n}" for shard in range(SHARDS) for n in range(SAMPLES)]


@pytest.fixture
def shards(tmp_path):
    for shard in range(SHARDS):
        samples = [{"__key__": f"{shard}{n}", "cls": str(n), "bin": bytes(100)} for n in range(SAMPLES)]
        (tmp_path / f"s{shard}.tar").write_bytes(make_shard(samples))
    return f"{tmp_path}/s{{0..{SHARDS - 1}}}.tar"


def key_of(sample):
    return sample["__key__"]


def keys(loader) -> list[str]:
    return list(loader)


def loader_over(dataset, **options) -> DataLoader:
    return DataLoader(dataset, batch_size=None, **options)


def test_the_dataset_is_an_iterable_dataset(shards):
    dataset = wds.WebDataset(shards)
    assert isinstance(dataset, IterableDataset)
    assert isinstance(dataset.shuffle(10).decode(), IterableDataset)
    assert isinstance(pickle.loads(pickle.dumps(dataset)), IterableDataset)


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_every_sample_comes_once(shards, workers):
    with leaks():
        assert sorted(keys(loader_over(wds.WebDataset(shards).map(key_of), num_workers=workers))) == ALL


@pytest.mark.parametrize(
    ("context", "workers"),
    [("fork", 2), ("forkserver", 1), pytest.param("spawn", 1, marks=pytest.mark.slow)],
)
def test_every_way_to_start_workers(shards, context, workers):
    dataset = wds.WebDataset(shards).map(key_of)
    next(iter(dataset))  # fork after use
    loader = loader_over(dataset, num_workers=workers, multiprocessing_context=context)
    assert sorted(keys(loader)) == ALL


@pytest.mark.parametrize("context", ["fork", "forkserver"])
def test_workers_read_by_a_scheme_of_another_package(shards, tmp_path, context):
    (tmp_path / "b").symlink_to(tmp_path)
    dataset = wds.WebDataset("foo://b/s*.tar", storage=Foo(str(tmp_path))).map(key_of)
    assert sorted(keys(loader_over(dataset, num_workers=2, multiprocessing_context=context))) == ALL


@pytest.mark.parametrize("context", ["fork", "forkserver"])
def test_persistent_workers_read_every_sample_in_each_epoch_in_another_order(shards, context):
    dataset = wds.WebDataset(shards, shardshuffle=100, seed=1).shuffle(20).map(key_of)
    loader = loader_over(dataset, num_workers=2, persistent_workers=True, multiprocessing_context=context)
    epochs = [keys(loader) for _ in range(3)]
    assert all(sorted(epoch) == ALL for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    del loader


def test_batches_of_tensors_and_pinning_free_collation(shards):
    batches = list(loader_over(wds.WebDataset(shards).decode().to_tuple("cls").batched(4), num_workers=2))
    assert sum(len(labels) for (labels,) in batches) == len(ALL)
    assert all(isinstance(labels, torch.Tensor) for (labels,) in batches)


def test_workers_over_http(shards, tmp_path):
    with FaultServer(tmp_path) as server:
        urls = [server.url(f"s{shard}.tar") for shard in range(SHARDS)]
        assert sorted(keys(loader_over(wds.WebDataset(urls).map(key_of), num_workers=2))) == ALL


def test_leaving_early_and_starting_again(shards):
    loader = loader_over(wds.WebDataset(shards).repeat().map(key_of), num_workers=2)
    with leaks():
        for _ in range(2):
            for number, _ in enumerate(loader):
                if number == 20:
                    break


def test_a_typed_error_survives_the_way_out_of_a_worker(shards, tmp_path):
    with (tmp_path / "s3.tar").open("r+b") as file:
        file.truncate(700)
    loader = loader_over(wds.WebDataset(shards), num_workers=1)
    with pytest.raises(TruncatedTarError, match="s3.tar") as caught:
        list(loader)
    lines = str(caught.value).splitlines()  # the worker's traceback can be read
    assert lines[:2] == ["Caught TruncatedTarError in DataLoader worker process 0.", "Original Traceback (most recent call last):"]
    assert lines[-1].startswith("asyncwds.errors.TruncatedTarError: ")


def test_too_few_shards_for_the_workers_is_an_error_unless_allowed(shards):
    with pytest.raises(ValueError, match="fewer shards than workers"):
        list(loader_over(wds.WebDataset(shards.replace("..7", "..1")), num_workers=3))
    allowed = wds.WebDataset(shards.replace("..7", "..1"), empty_check=False).map(key_of)
    assert sorted(keys(loader_over(allowed, num_workers=3))) == ALL[: 2 * SAMPLES]


def kill_self(sample):
    os.kill(os.getpid(), signal.SIGKILL)


def test_fault_35_a_killed_worker_is_an_error_and_no_hang(shards):
    loader = loader_over(wds.WebDataset(shards).map(kill_self), num_workers=1)
    with leaks(), pytest.raises(RuntimeError, match=r"(?i)killed|exited unexpectedly"):
        list(loader)


def test_the_place_in_the_main_process_is_the_environments(monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert current_worker_info() == WorkerInfo(1, 4)


def test_the_place_of_an_initialised_process_group(shards, tmp_path):
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    try:
        assert current_worker_info() == WorkerInfo(0, 1)
    finally:
        torch.distributed.destroy_process_group()


def test_no_thread_is_left(shards):
    keys(loader_over(wds.WebDataset(shards).map(key_of)))
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("asyncwds")] == []


WITH_ITERATORS_IN_USE = """
import torch, asyncwds as wds
data = wds.WebDataset("a.tar").map(lambda sample: sample)
items, bounded = iter(data), iter(data.with_epoch(100))
next(items), next(bounded)
"""


def test_a_program_that_ends_with_iterators_in_use_says_nothing(tmp_path):
    """torch keeps them until modules are taken down."""
    (tmp_path / "a.tar").write_bytes(make_shard([{"__key__": f"{number}", "txt": "x" * 100} for number in range(2000)]))
    command = [sys.executable, "-c", WITH_ITERATORS_IN_USE]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
