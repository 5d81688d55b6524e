"""`stats()` of datasets that the workers of a DataLoader iterate over."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
from shared_memory import left_since, shared_files
from torch.utils.data import DataLoader

import asyncwds as wds
from asyncwds.testing import FaultServer, leaks, make_shard

# torch warns of more workers than cores; the tests are about the number of workers, not about speed.
pytestmark = [
    pytest.mark.filterwarnings("ignore:This DataLoader will create"),
    pytest.mark.filterwarnings("ignore:This process:DeprecationWarning"),  # 3.12+ warns that forking with threads is dangerous
]

SHARDS, SAMPLES, SIZE = 4, 20, 2000
SECONDS = 0.03  # that a planted cause takes for each sample


def shard() -> bytes:
    return make_shard([{"__key__": f"{n:03}", "bin": bytes(SIZE), "cls": str(n)} for n in range(SAMPLES)])


@pytest.fixture
def urls(tmp_path):
    for number in range(SHARDS):
        (tmp_path / f"{number}.tar").write_bytes(shard())
    return f"{tmp_path}/{{0..{SHARDS - 1}}}.tar"


@pytest.fixture
def slow_server():
    with FaultServer({f"{number}.tar": shard() for number in range(SHARDS)}, bytes_per_second=100_000) as server:
        yield f"http://{server.host}:{server.port}/{{0..{SHARDS - 1}}}.tar"


def linger(sample):
    time.sleep(SECONDS)
    return sample


def kill_yourself(sample):
    if sample["__key__"] == "010":
        time.sleep(0.5)  # longer than between two reports
        os.kill(os.getpid(), signal.SIGKILL)
    return sample


def consume(loader, seconds=0.0) -> int:
    count = 0
    for _ in loader:
        count += 1
        time.sleep(seconds)
    return count


@pytest.mark.parametrize("persistent", [False, True])
def test_the_counts_of_workers_add_up(urls, persistent):
    options = {"multiprocessing_context": "fork", "persistent_workers": persistent}
    with leaks():
        dataset = wds.WebDataset(urls, shardshuffle=False).map(dict)
        loader = DataLoader(dataset, batch_size=None, num_workers=2, **options)
        for _ in range(2):  # each epoch anew
            assert consume(loader) == SHARDS * SAMPLES
            stats = dataset.stats()
            assert (stats.samples, stats.shards, stats.requests, stats.workers) == (SHARDS * SAMPLES, SHARDS, SHARDS, 2)
        del loader, dataset
    assert stats.local == stats.bytes == SHARDS * len(shard())
    assert set(stats.times) <= {"disk", "parser", "map(dict)", "consumer"}
    assert "in 2 workers" in stats.summary()


PLANTED = {
    "network": ("slow_server", None, 0.0, "network"),
    "user's map": ("urls", linger, 0.0, "map(linger)"),
    "consumer": ("urls", dict, SECONDS, "consumer"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_loader_names_what_its_workers_are_limited_by(name, request):
    source, function, seconds, cause = PLANTED[name]
    dataset = wds.WebDataset(request.getfixturevalue(source), shardshuffle=False, prefetch=1)
    dataset = dataset if function is None else dataset.map(function)
    loader = wds.WebLoader(dataset, batch_size=None, num_workers=2, multiprocessing_context="fork").map(dict)
    assert consume(loader, seconds) == SHARDS * SAMPLES
    stats = loader.stats()
    assert (stats.limit, stats.samples, stats.workers) == (cause, SHARDS * SAMPLES, 2), stats
    assert sum(stats.times.values()) == pytest.approx(stats.seconds)
    if cause != "consumer":  # it is another's there: the workers wait for the loader
        assert dataset.stats().limit == cause


@pytest.mark.slow
def test_a_loader_of_spawned_workers_names_what_they_are_limited_by_once_they_are_there(urls):
    dataset = wds.WebDataset(urls, shardshuffle=False).map(linger)
    options = {"multiprocessing_context": "spawn", "persistent_workers": True}
    loader = wds.WebLoader(dataset, batch_size=None, num_workers=1, **options)
    assert consume(loader) == consume(loader) == SHARDS * SAMPLES
    stats = loader.stats()
    assert (stats.limit, stats.samples, stats.shards, stats.workers) == ("map(linger)", SHARDS * SAMPLES, SHARDS, 1), stats
    del loader


def test_a_loader_without_workers(urls):
    dataset = wds.WebDataset(urls, shardshuffle=False).map(linger)
    loader = wds.WebLoader(dataset, batch_size=None, num_workers=0).map(dict)
    assert consume(loader) == SHARDS * SAMPLES
    stats = loader.stats()
    assert (stats.limit, stats.samples, stats.workers) == ("map(linger)", SHARDS * SAMPLES, 0)


def test_the_stages_behind_a_loader(urls):
    dataset = wds.WebDataset(urls, shardshuffle=False).map(dict)
    loader = wds.WebLoader(dataset, batch_size=None, num_workers=1).map(linger)
    assert consume(loader) == SHARDS * SAMPLES
    assert loader.stats().limit == "map(linger)"


def test_a_mix_in_workers(urls):
    members = [wds.WebDataset(urls, shardshuffle=False).map(linger) for _ in range(2)]
    mix = wds.RoundRobin(members, longest=True)
    loader = wds.WebLoader(mix, batch_size=None, num_workers=2)
    assert consume(loader) == 2 * SHARDS * SAMPLES
    stats = loader.stats()
    assert (stats.limit, stats.samples, stats.shards) == ("map(linger)", 2 * SHARDS * SAMPLES, 2 * SHARDS)


def test_a_mix_with_stages_in_workers(urls):
    mix = wds.RoundRobin([wds.WebDataset(urls, shardshuffle=False).map(linger) for _ in range(2)], longest=True)
    dataset = wds.FluidWrapper(mix).map(dict)
    assert consume(DataLoader(dataset, batch_size=None, num_workers=2)) == 2 * SHARDS * SAMPLES
    stats = dataset.stats()
    assert (stats.limit, stats.samples, stats.workers) == ("map(linger)", 2 * SHARDS * SAMPLES, 2)
    assert not stats.times.keys() & {"RoundRobin", "loader"}


def test_a_worker_that_is_killed_leaves_what_it_reported(urls):
    dataset = wds.WebDataset(urls, shardshuffle=False).map(kill_yourself)
    with pytest.raises(RuntimeError, match="exited unexpectedly"):
        consume(DataLoader(dataset, batch_size=None, num_workers=1, multiprocessing_context="fork"))
    assert dataset.stats().workers == 1
    assert 0 < dataset.stats().samples <= SAMPLES


def test_the_latest_iteration_counts_here_or_in_workers(urls):
    dataset = wds.WebDataset(urls, shardshuffle=False)
    loader = DataLoader(dataset, batch_size=None, num_workers=1)
    assert consume(dataset.slice(5)) == 5
    assert dataset.stats() == wds.Stats()
    consume(loader)
    assert dataset.stats().workers == 1
    consume(dataset)
    assert (dataset.stats().workers, dataset.stats().samples) == (0, SHARDS * SAMPLES)


def test_an_unfinished_iteration_in_workers_is_reported_while_it_runs(urls):
    dataset = wds.WebDataset(urls, shardshuffle=False).map(linger)
    items = iter(DataLoader(dataset, batch_size=None, num_workers=1))
    while dataset.stats().limit != "map(linger)":
        next(items)
    del items


@pytest.mark.slow
def test_nothing_is_left_when_a_process_ends(urls, tmp_path):
    """Of a dataset that was made before torch was imported."""
    program = f"""
        import asyncwds as wds

        if __name__ == "__main__":
            dataset = wds.WebDataset({urls!r}, shardshuffle=False)
            keys = [sample["__key__"] for sample in dataset]
            from torch.utils.data import DataLoader
            loader = DataLoader(dataset, batch_size=None, num_workers=1, multiprocessing_context="spawn")
            assert [sample["__key__"] for sample in loader] == keys
            print(dataset.stats().samples)
    """
    (tmp_path / "program.py").write_text(textwrap.dedent(program))
    (tmp_path / "tmp").mkdir()
    before = shared_files()
    environment = {**os.environ, "TMPDIR": str(tmp_path / "tmp")}
    done = subprocess.run([sys.executable, tmp_path / "program.py"], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{SHARDS * SAMPLES}\n", "")
    assert not list((tmp_path / "tmp").iterdir())
    assert left_since(before) == set()
