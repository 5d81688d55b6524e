"""Tuning on models of links, in virtual time: the same each time, however slow the machine is."""

from __future__ import annotations

import asyncio
import sys

import pytest

from asyncwds import Prefetch
from asyncwds.engine import BlockStream, ReadOptions
from asyncwds.runtime import Counters, GiB, MiB
from asyncwds.shards import Shard
from asyncwds.testing import LinkModel, SimulatedLink, run_in_virtual_time

LINKS = [(0.0, 20e6), (0.0, None), (0.01, 100e6), (0.05, 40e6), (0.2, 20e6), (0.2, None)]


async def read(
    model: LinkModel, prefetch: Prefetch, *, shards: int, size: int, slow: float = 0.0, slow_until: int = sys.maxsize
) -> tuple[float, float, Counters]:
    """Time [s] until all was there, and until 10 MB were; `slow` [s] is what the consumer does with each of the first MiB."""
    counters = Counters()
    link = SimulatedLink(model, size, counters)
    options = ReadOptions(max_member_bytes=GiB, raw=True, verify=False)
    stream = BlockStream(iter([Shard(f"simulated://{i}", i) for i in range(shards)]), link, prefetch, options, counters)
    clock, received, early = asyncio.get_running_loop(), 0, 0.0
    while (block := await stream.next_block()) is not None:
        received += block.nbytes
        early = early or (clock.time() if received >= 10e6 else 0.0)
        await asyncio.sleep(block.nbytes / MiB * slow if received < slow_until else 0.0)
    seconds = clock.time()
    await stream.aclose()
    assert received == shards * size
    return seconds, early, counters


@pytest.mark.slow
@pytest.mark.parametrize(("first_byte", "rate"), LINKS)
def test_auto_is_near_the_best_of_fixed_settings_and_stays_within_the_buffer(first_byte, rate):
    model = LinkModel(first_byte, rate, chunk_bytes=MiB)
    size, shards = 256 * MiB, 8
    fixed = [(connections, part) for connections in (16, 64) for part in (3, 8)]
    taken = [
        run_in_virtual_time(read(model, Prefetch(connections, part_bytes=part * MiB), shards=shards, size=size))[0]
        for connections, part in fixed
    ]
    auto, _, counters = run_in_virtual_time(read(model, Prefetch(), shards=shards, size=size))
    assert min(taken) / auto >= 0.86
    assert counters.buffered_peak <= 256 * MiB


@pytest.mark.parametrize("shards", [1, 16])
def test_the_head_of_the_line_comes_from_all_connections(shards):
    model = LinkModel(0.05, 40e6)
    size = 512 * MiB // shards
    taken = {}
    for part in ("auto", 8 * MiB):
        prefetch = Prefetch(connections=16, part_bytes=part)
        seconds, early, _ = run_in_virtual_time(read(model, prefetch, shards=shards, size=size))
        taken[part] = seconds, early
    assert taken["auto"][1] < 0.7 * taken[8 * MiB][1]
    assert taken["auto"][0] < 1.1 * taken[8 * MiB][0]


def test_connections_go_down_while_the_consumer_is_slow_and_the_rate_is_its_own():
    model = LinkModel(0.05, 40e6, chunk_bytes=MiB)
    seconds, _, counters = run_in_virtual_time(read(model, Prefetch(), shards=8, size=256 * MiB, slow=0.02))
    assert seconds < 1.05 * 2048 * 0.02
    assert counters.connections < 16
    assert counters.reasons["connections"].startswith(f"{counters.connections}: the reader does not wait")


def test_connections_are_back_when_the_consumer_is_fast_again():
    model = LinkModel(0.05, 40e6, chunk_bytes=MiB)
    slow_until = 1024 * MiB
    _, _, counters = run_in_virtual_time(read(model, Prefetch(), shards=16, size=256 * MiB, slow=0.02, slow_until=slow_until))
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
    _, _, counters = run_in_virtual_time(read(LinkModel(0.05, 40e6, chunk_bytes=MiB), prefetch, shards=8, size=256 * MiB))
    assert counters.reasons["parts"] == parts
    chosen, why = counters.reasons["connections"].split(": ", 1)
    assert int(chosen) == counters.connections
    assert why == "that was given" if prefetch.connections == 4 else why.startswith("they bring ")
    assert counters.reasons["connections"] in repr(counters.snapshot())


def test_two_runs_are_the_same():
    model = LinkModel(0.01, 100e6)
    runs = [run_in_virtual_time(read(model, Prefetch(), shards=3, size=64 * MiB))[:2] for _ in range(2)]
    assert runs[0] == runs[1]


def test_what_waits_for_ever_is_an_error():
    async def wait() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(RuntimeError, match="waits for ever"):
        run_in_virtual_time(wait())
