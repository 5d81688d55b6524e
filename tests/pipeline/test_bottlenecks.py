"""`stats()` names what a stream is limited by: planted causes, each of which takes nearly all of the time."""

from __future__ import annotations

import asyncio
import bz2
import os
import random
import threading
import time
from contextlib import contextmanager

import pytest

import asyncwds as wds
from asyncwds import DataPipeline
from asyncwds.testing import FaultServer, make_shard

SAMPLES = 40
SECONDS = 0.02  # that a planted cause takes for each sample


@pytest.fixture(scope="module", autouse=True)
def imported(tmp_path_factory):
    """What stages import when they are first used is no cause: `batched` took a second for numpy, more than the planted one."""
    (path := tmp_path_factory.mktemp("imported") / "a.tar").write_bytes(shard())
    assert list(wds.WebDataset(str(path), shardshuffle=False).shuffle(2).decode().map(dict).to_tuple("txt").batched(8))


def shard(samples=SAMPLES, size=1000) -> bytes:
    return make_shard([{"__key__": f"{n:04}", "txt": random.Random(n).randbytes(size // 2).hex()} for n in range(samples)])


def linger(sample):
    time.sleep(SECONDS)
    return sample


def linger_over_text(key, data):
    time.sleep(SECONDS)
    return data.decode()


def linger_in_a_stage(samples):
    for sample in samples:
        time.sleep(SECONDS)
        yield sample


def linger_now_and_then(samples):
    for number, sample in enumerate(samples):
        if number % 64 == 0:
            time.sleep(64 * SECONDS)
        yield sample


def read(dataset, seconds=0.0) -> wds.Stats:
    """What limits it; the consumer takes so long over each item."""
    for _ in dataset:
        time.sleep(seconds)
    return dataset.stats()


@contextmanager
def slow_server(tmp_path):
    with FaultServer({"a.tar": shard(size=10_000)}, bytes_per_second=500_000) as server:
        yield server.url("a.tar")


@contextmanager
def slow_disk(tmp_path):
    """A file that brings its bytes slowly."""
    path, data = tmp_path / "a.tar", shard()
    os.mkfifo(path)

    def write():
        with path.open("wb", buffering=0) as pipe:
            for position in range(0, len(data), len(data) // SAMPLES):
                pipe.write(data[position : position + len(data) // SAMPLES])
                time.sleep(SECONDS)

    writer = threading.Thread(target=write)
    writer.start()
    yield str(path)
    writer.join()


@contextmanager
def slow_command(tmp_path):
    (tmp_path / "a.tar").write_bytes(shard())
    yield f"pipe:sleep 0.8; cat {tmp_path}/a.tar"


@contextmanager
def compressed(tmp_path):
    (tmp_path / "a.tar").write_bytes(bz2.compress(shard(4, 1_000_000)))
    yield f"{tmp_path}/a.tar"


@contextmanager
def fast(tmp_path):
    (tmp_path / "a.tar").write_bytes(shard())
    yield f"{tmp_path}/a.tar"


PLANTED = {
    "network": (slow_server, lambda ds: ds, 0, "network"),
    "network, decoded": (slow_server, lambda ds: ds.decode().map(dict), 0, "network"),
    "disk": (slow_disk, lambda ds: ds.decode(), 0, "disk"),
    "command": (slow_command, lambda ds: ds.decode(), 0, "source"),
    "parser": (compressed, lambda ds: ds.to_tuple("txt"), 0, "parser"),
    "decode": (fast, lambda ds: ds.shuffle(10).decode(linger_over_text).to_tuple("txt"), 0, "decode"),
    "user's map": (fast, lambda ds: ds.decode().map(linger).to_tuple("txt").batched(8), 0, "map(linger)"),
    "user's map, over a network": (slow_server, lambda ds: ds.map(linger).map(dict), 0, "map(linger)"),
    "user's stage": (fast, lambda ds: ds.compose(linger_in_a_stage).to_tuple("txt"), 0, "linger_in_a_stage"),
    "user's stage, in bursts": (fast, lambda ds: ds.repeat(2).compose(linger_now_and_then).decode(), 0, "linger_now_and_then"),
    "user's source": (
        fast,
        lambda ds: DataPipeline(linger_in_a_stage(range(SAMPLES)), lambda items: items),
        0,
        "linger_in_a_stage",
    ),
    "consumer": (fast, lambda ds: ds, SECONDS, "consumer"),
    "consumer, of a network": (slow_server, lambda ds: ds.decode(), 4 * SECONDS, "consumer"),
    "consumer, of batches": (fast, lambda ds: ds.decode().to_tuple("txt").batched(4), 8 * SECONDS, "consumer"),
    "consumer, of two passes": (fast, lambda ds: ds.repeat(2).map(dict), SECONDS, "consumer"),
}


def test_a_slow_list_of_shards_is_named(tmp_path):
    with fast(tmp_path) as url:

        def urls():
            for _ in range(4):
                time.sleep(10 * SECONDS)
                yield {"url": url}

        stats = read(DataPipeline(urls, wds.tarfile_to_samples(), wds.decode()))
    assert (stats.limit, stats.samples) == ("shards", 4 * SAMPLES), stats
    assert sum(stats.times.values()) == pytest.approx(stats.seconds)


@pytest.mark.parametrize("name", PLANTED)
def test_the_planted_cause_is_named(name, tmp_path):
    source, compose, seconds, cause = PLANTED[name]
    with source(tmp_path) as url:
        stats = read(compose(wds.WebDataset(url, shardshuffle=False)), seconds)
    assert stats.limit == cause, stats
    assert stats.summary().startswith(f"{cause}-bound: "), stats
    assert sum(stats.times.values()) == pytest.approx(stats.seconds)


async def test_the_planted_cause_is_named_in_async_for(tmp_path):
    for name in ("network", "user's map", "consumer, of a network"):
        source, compose, seconds, cause = PLANTED[name]
        (tmp_path / name).mkdir()
        with source(tmp_path / name) as url:
            dataset = compose(wds.WebDataset(url, shardshuffle=False))
            async for _ in dataset:
                await asyncio.sleep(seconds)
        assert dataset.stats().limit == cause, dataset.stats()


async def test_open_samples_waits_for_the_network(tmp_path):
    with slow_server(tmp_path) as url:
        async with wds.open_samples(url) as samples:
            assert [sample async for sample in samples]
    assert samples.stats().limit == "network"


def test_an_epoch_from_the_cache_is_never_of_the_network(tmp_path):
    with slow_server(tmp_path) as url:
        dataset = wds.WebDataset(url, shardshuffle=False, cache_dir=str(tmp_path / "cache"))
        assert read(dataset).limit == "network"
        stats = read(dataset)
    assert (stats.cached, stats.local) == (stats.bytes, stats.bytes)
    assert "network" not in stats.times
    assert "network" not in stats.summary()


def test_the_clock_runs_until_the_consumer_ends(tmp_path):
    with fast(tmp_path) as url:
        dataset = wds.WebDataset(url, shardshuffle=False)
        for number, _ in enumerate(dataset):
            time.sleep(SECONDS)
            if number == SAMPLES // 2:
                break
        stats = dataset.stats()
        time.sleep(SECONDS)
    assert stats.seconds >= SECONDS * SAMPLES // 2
    assert dataset.stats() == stats  # it has ended with the loop


def test_what_is_waited_for_now_counts(tmp_path):
    path = tmp_path / "a.tar"
    os.mkfifo(path)
    dataset = wds.WebDataset(str(path), shardshuffle=False)
    reader = threading.Thread(target=read, args=[dataset])
    reader.start()
    with path.open("wb", buffering=0) as pipe:
        pipe.write(shard())
        while dataset.stats().limit != "disk" or dataset.stats().seconds < 1:  # the end has not come yet
            time.sleep(SECONDS)
    reader.join()


def test_a_mix_is_limited_by_what_its_members_are(tmp_path):
    with fast(tmp_path) as url:
        members = [wds.WebDataset(url, shardshuffle=False).map(function) for function in (linger, dict)]
        for mix in (wds.RoundRobin(members), wds.RandomMix(members, longest=True)):
            stats = read(wds.FluidWrapper(mix).map(dict))
            assert stats.limit == "map(linger)", stats
            assert stats.samples == 2 * SAMPLES
            assert sum(stats.times.values()) == pytest.approx(stats.seconds)
