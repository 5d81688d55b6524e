"""Tuning on models of links, in virtual time: the same each time, however slow the machine is."""

from __future__ import annotations

import asyncio

import pytest

from asyncwds import Prefetch
from asyncwds.runtime import MiB
from asyncwds.testing import LinkModel, read_simulated, run_in_virtual_time

LINKS = [(0.0, 20e6), (0.0, None), (0.01, 100e6), (0.05, 40e6), (0.2, 20e6), (0.2, None)]


@pytest.mark.slow
@pytest.mark.parametrize(("first_byte", "rate"), LINKS)
def test_auto_is_near_the_best_of_fixed_settings_and_stays_within_the_buffer(first_byte, rate):
    model = LinkModel(first_byte, rate, chunk_bytes=MiB)
    size, shards = 256 * MiB, 8
    fixed = [(connections, part) for connections in (16, 64) for part in (3, 8)]
    taken = [
        read_simulated(model, Prefetch(connections, part_bytes=part * MiB), shards=shards, size=size).seconds
        for connections, part in fixed
    ]
    auto = read_simulated(model, Prefetch(), shards=shards, size=size)
    assert min(taken) / auto.seconds >= 0.86
    assert auto.counters.buffered_peak <= 256 * MiB


@pytest.mark.parametrize("shards", [1, 16])
def test_the_head_of_the_line_comes_from_all_connections(shards):
    model = LinkModel(0.05, 40e6)
    size = 512 * MiB // shards
    taken = {}
    for part in ("auto", 8 * MiB):
        prefetch = Prefetch(connections=16, part_bytes=part)
        read = read_simulated(model, prefetch, shards=shards, size=size)
        taken[part] = read.seconds, read.ten_megabytes
    assert taken["auto"][1] < 0.7 * taken[8 * MiB][1]
    assert taken["auto"][0] < 1.1 * taken[8 * MiB][0]


def test_connections_go_down_while_the_consumer_is_slow_and_the_rate_is_its_own():
    model = LinkModel(0.05, 40e6, chunk_bytes=MiB)
    read = read_simulated(model, Prefetch(), shards=8, size=256 * MiB, slow=0.02)
    counters = read.counters
    assert read.seconds < 1.05 * 2048 * 0.02
    assert counters.connections < 16
    assert counters.reasons["connections"].startswith(f"{counters.connections}: the reader does not wait")


def test_connections_are_back_when_the_consumer_is_fast_again():
    model = LinkModel(0.05, 40e6, chunk_bytes=MiB)
    slow_until = 1024 * MiB
    counters = read_simulated(model, Prefetch(), shards=16, size=256 * MiB, slow=0.02, slow_until=slow_until).counters
    assert counters.connections > 16
    assert counters.buffered_peak <= 256 * MiB


@pytest.mark.parametrize(
    ("prefetch", "parts"),
    [
        (Prefetch(), "from 1.0 MB, beside the reader, to 3.1 MB: of larger ones 64 would not fit in the 234.9 MB for parts"),
        (
            Prefetch(connections=4),
            "from 1.0 MB, beside the reader, to 8.4 MB: the most, however few connections there are",
        ),
        (Prefetch(connections=4, part_bytes=2 * MiB), "2.1 MB: that was given"),
    ],
)
def test_reasons_are_given_in_words(prefetch, parts):
    counters = read_simulated(LinkModel(0.05, 40e6, chunk_bytes=MiB), prefetch, shards=8, size=256 * MiB).counters
    assert counters.reasons["parts"] == parts
    chosen, why = counters.reasons["connections"].split(": ", 1)
    assert int(chosen) == counters.connections
    assert why == "that was given" if prefetch.connections == 4 else why.startswith("they bring ")
    assert counters.reasons["connections"] in repr(counters.snapshot())


def test_two_runs_are_the_same():
    model = LinkModel(0.01, 100e6)
    runs = [read_simulated(model, Prefetch(), shards=3, size=64 * MiB) for _ in range(2)]
    assert runs[0].seconds == runs[1].seconds
    assert runs[0].ten_megabytes == runs[1].ten_megabytes


def test_what_waits_for_ever_is_an_error():
    async def wait() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(RuntimeError, match="waits for ever"):
        run_in_virtual_time(wait())
