"""Reports of workers in memory that is shared."""

from __future__ import annotations

import pytest

from asyncwds import MultiLoader, WebDataset, WorkerInfo
from asyncwds.pipeline.worker_stats import HALF, SLOT_BYTES, latest, publish, read
from asyncwds.runtime import Counters, StageTime
from asyncwds.testing import make_shard


@pytest.fixture
def slot():
    return memoryview(bytearray(SLOT_BYTES))


def report(slot, place=None, epoch=0, **counts):
    publish(slot, Counters(**{"started": 1.0, "ended": 3.0, **counts}), place or WorkerInfo(), epoch)


def test_what_is_published_is_read(slot):
    assert read(slot) is None
    for samples in range(5):
        counters = Counters(
            started=1.0, ended=3.0, samples=samples, waiting_for="https://data.example", stages={1: StageTime("map(ü)", 1.5)}
        )
        counters.first_bytes.append(0.25)
        publish(slot, counters, WorkerInfo(worker=1, num_workers=3), 7)
        found = read(slot)
        assert (found.started, found.epoch, found.workers, found.stats) == (1.0, 7, 3, counters.snapshot())


@pytest.mark.parametrize("half", [0, HALF], ids=["first", "second"])
@pytest.mark.parametrize("at", [8, 20, 100])
def test_a_report_that_is_not_whole_leaves_the_one_before(slot, half, at):
    report(slot, samples=1)
    report(slot, samples=2)
    slot[half + at] ^= 1
    assert read(slot).stats.samples == (2 if half else 1)  # the first report is in the second half


def test_reports_that_are_too_long_go_without_the_stages(slot):
    stages = {number: StageTime(f"map({number}{'x' * 70})", number) for number in range(100)}
    report(slot, samples=2, stages=stages)
    assert (read(slot).stats.samples, read(slot).stats.times) == (2, {})


def test_reasons_go_first_where_there_is_no_room(slot):
    report(slot, samples=2, stages={1: StageTime("map(f)", 1.0)}, reasons={"map(f)": f"2: {'x' * 2000}"})
    found = read(slot).stats
    assert (found.samples, found.times["map(f)"], found.reasons) == (2, 1.0, {})


def test_the_latest_iteration_is_the_sum_of_its_workers():
    slots = [memoryview(bytearray(SLOT_BYTES)) for _ in range(4)]
    assert latest(slots) is None
    for worker, started in enumerate([4.0, 5.0]):
        report(slots[worker], WorkerInfo(worker=worker, num_workers=2), epoch=1, samples=10, started=started, ended=started + 2)
    report(slots[2], WorkerInfo(worker=2, num_workers=3), samples=100)  # of another loader, before
    report(slots[3], WorkerInfo(worker=1, num_workers=2), samples=100)  # of another epoch, before
    found = latest(slots)
    assert (found.started, found.stats.samples, found.stats.workers, found.stats.seconds) == (5.0, 20, 2, 3.0)
    assert found.stats.times == {"consumer": 4.0}


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_processes_of_a_multiloader_add_up(tmp_path, context):
    for number in range(4):
        (tmp_path / f"{number}.tar").write_bytes(make_shard([{"__key__": str(n), "txt": "x"} for n in range(5)]))
    dataset = WebDataset(f"{tmp_path}/{{0..3}}.tar", shardshuffle=False).map(dict)
    assert sum(1 for _ in MultiLoader(dataset, 2, context=context)) == 20
    stats = dataset.stats()
    assert (stats.samples, stats.shards, stats.workers) == (20, 4, 2)
    dataset.set_epoch(7)  # of the next iteration
    assert dataset.stats() == stats
