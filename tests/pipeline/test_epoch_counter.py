"""Counting in one process; tests/test_torch_epochs.py has the workers."""

import gc
import os
import pickle
from multiprocessing import get_context

import pytest

from asyncwds import WorkerInfo
from asyncwds.pipeline import EpochCounter
from asyncwds.testing import leaks


def epochs(counter, number=3):
    return [counter.begin()[0] for _ in range(number)]


def test_it_counts_from_where_it_was_set():
    counter = EpochCounter()
    assert epochs(counter) == [0, 1, 2]
    counter.set(7)
    assert epochs(counter) == [7, 8, 9]


def test_it_tells_the_place(monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert EpochCounter().begin() == (0, WorkerInfo(1, 3))


@pytest.mark.parametrize("copied", [lambda counter: counter.copy(), lambda counter: pickle.loads(pickle.dumps(counter))])
def test_copies_go_on_by_themselves(copied):
    counter = EpochCounter()
    epochs(counter)
    copy = copied(counter)
    assert epochs(copy) == epochs(counter) == [3, 4, 5]


def worker(counter, number, workers, results):
    os.environ["WORKER"], os.environ["NUM_WORKERS"] = str(number), str(workers)
    results.put((number, counter.begin()[0]))


def started(counter, context, workers):
    """The epochs that workers see that are started now."""
    ways = get_context(context)
    results = ways.SimpleQueue()
    processes = [ways.Process(target=worker, args=(counter, number, workers, results)) for number in range(workers)]
    for process in processes:
        process.start()
    seen = dict(results.get() for _ in processes)
    for process in processes:
        process.join()
    results.close()
    return [seen[number] for number in range(workers)]


@pytest.mark.parametrize("context", ["fork", "spawn", "forkserver"])
def test_workers_that_are_started_anew_go_on(context):
    counter = EpochCounter(2)
    assert started(counter, context, 2) == [2, 2]
    assert started(counter, context, 2) == [3, 3]
    assert started(counter, context, 1) == [2]
    counter.set(10)
    assert started(counter, context, 2) == [10, 10]
    assert epochs(counter, 1) == [10]


def test_a_forked_process_that_is_no_worker_counts_for_itself():
    counter = EpochCounter()
    read, write = os.pipe()
    if os.fork() == 0:
        os.write(write, f"{epochs(counter)} {started(counter, 'fork', 2)}".encode())
        os._exit(0)
    os.wait()
    os.close(write)
    with os.fdopen(read) as answer:
        assert answer.read() == "[0, 1, 2] [3, 3]"
    assert epochs(counter) == [0, 1, 2]


def test_it_has_a_descriptor_only_for_spawned_processes_and_until_it_is_dropped():
    with leaks():
        counter = EpochCounter(4)
        with leaks():
            started(counter, "fork", 1)
        counter._descriptor = counter._moved_to_file()
        assert started(counter, "fork", 1) == [5]
        del counter
        gc.collect()
