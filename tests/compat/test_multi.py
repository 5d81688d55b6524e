"""A dataset in several processes, without torch."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
import time

import pytest

from asyncwds import MultiLoader, WebDataset
from asyncwds.errors import BridgeError, SpecError, TruncatedTarError
from asyncwds.testing import leaks, make_shard

SHARDS, SAMPLES = 6, 5
ALL = [f"{shard}{n}" for shard in range(SHARDS) for n in range(SAMPLES)]


@pytest.fixture
def shards(tmp_path):
    for shard in range(SHARDS):
        (tmp_path / f"s{shard}.tar").write_bytes(make_shard([{"__key__": f"{shard}{n}", "txt": "x"} for n in range(SAMPLES)]))
    return f"{tmp_path}/s{{0..{SHARDS - 1}}}.tar"


def key_of(sample):
    return sample["__key__"]


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_every_sample_comes_once(shards, workers):
    with leaks():
        assert sorted(MultiLoader(WebDataset(shards).map(key_of), workers)) == ALL


@pytest.mark.parametrize("context", ["spawn", "forkserver"])
def test_other_ways_to_start(shards, context):
    assert sorted(MultiLoader(WebDataset(shards).map(key_of), workers=2, context=context)) == ALL


def test_any_iterable_is_a_dataset():
    assert sorted(MultiLoader([1, 2], workers=3)) == [1, 1, 1, 2, 2, 2]
    assert list(MultiLoader([], workers=2)) == []


def test_epochs_go_on(shards):
    dataset = WebDataset(shards, shardshuffle=10, seed=3).map(key_of)
    loader = MultiLoader(dataset, workers=1)
    epochs = [list(loader) for _ in range(3)]
    assert len(set(map(tuple, epochs))) == 3
    dataset.set_epoch(1)
    assert list(loader) == epochs[1]


def test_it_can_be_pickled(shards):
    loader = MultiLoader(WebDataset(shards).map(key_of), workers=2)
    list(loader)
    assert sorted(pickle.loads(pickle.dumps(loader))) == ALL


def test_many_items_and_large_ones():
    items = [bytes(100_000)] * 50 + list(range(5000))
    assert list(MultiLoader(items, workers=1)) == items


class Slow:
    def __iter__(self):
        for number in range(1000):
            time.sleep(0.02)
            yield number


def test_leaving_early_ends_the_processes():
    loader = MultiLoader(Slow(), workers=2)
    with leaks():
        for _ in loader:
            break
        iterator = iter(loader)
        next(iterator)
        del iterator
        iter(loader)


def test_a_new_iteration_ends_the_one_before_unless_asked_not_to():
    with leaks():
        loader = MultiLoader(Slow(), workers=1)
        first, second = iter(loader), None
        next(first)
        second = iter(loader)
        next(second)
        with pytest.raises(StopIteration):
            next(first)
        loader.kill()
        assert list(second) == []
        loader = MultiLoader(Slow(), workers=1, nokill=True)
        first, second = iter(loader), iter(loader)
        assert [next(first), next(second), next(first)] == [0, 0, 1]
        loader.kill()


class Failing:
    def __init__(self, error):
        self.error = error

    def __iter__(self):
        yield 1
        raise self.error


class UnpicklableError(Exception):
    def __init__(self, one, two):
        super().__init__(f"{one} {two}")


def test_an_error_in_a_worker_is_raised(shards, tmp_path):
    (tmp_path / "s3.tar").write_bytes((tmp_path / "s3.tar").read_bytes()[:700])
    with leaks(), pytest.raises(TruncatedTarError, match="s3.tar") as caught:
        list(MultiLoader(WebDataset(shards).map(key_of), workers=2))
    assert any("of a MultiLoader" in note for note in caught.value.__notes__)
    seen = []
    with leaks(), pytest.raises(ZeroDivisionError):
        for item in MultiLoader(Failing(ZeroDivisionError()), workers=1):
            seen.append(item)
    with leaks(), pytest.raises(BridgeError, match="UnpicklableError: a b"):
        list(MultiLoader(Failing(UnpicklableError("a", "b")), workers=1))


class Killed:
    def __iter__(self):
        yield 1
        os.kill(os.getpid(), signal.SIGKILL)
        yield 2


def test_fault_35_a_killed_worker_is_an_error_and_no_hang():
    with leaks(), pytest.raises(BridgeError, match="exit code -9"):
        list(MultiLoader(Killed(), workers=2))


class KilledWhileSending:
    """Its second item is more than a pipe holds, so that it is in the middle of sending it when it is killed."""

    def __iter__(self):
        time.sleep(0.02)
        yield 1
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGKILL)).start()
        yield bytes(1 << 22)


def test_a_worker_that_is_killed_in_the_middle_of_a_message():
    with leaks():
        iterator = iter(MultiLoader(KilledWhileSending(), workers=1))
        assert next(iterator) == 1
        while multiprocessing.active_children():
            time.sleep(0.01)
        with pytest.raises(BridgeError, match="exit code -9"):
            next(iterator)


def test_no_workers():
    with pytest.raises(SpecError, match="at least 1"):
        MultiLoader([], workers=0)
