"""The engine over a fetcher whose timing the test decides."""

from __future__ import annotations

import asyncio
import random

import pytest

from asyncwds import Prefetch, WorkerInfo, open_samples
from asyncwds.engine import BlockStream, ReadOptions
from asyncwds.errors import FetchError, NotFoundError, SpecError, TruncatedTarError
from asyncwds.runtime import Counters, GiB, MiB
from asyncwds.shards import Shard
from asyncwds.storage import MemoryFetcher
from asyncwds.testing import Fault, FaultServer, make_samples, make_shard

SHARDS, SAMPLES = 5, 12


def shard_of(index: int, samples: int = SAMPLES, size: int = 700) -> bytes:
    return make_shard([{"__key__": f"{index}.{n}".replace(".", "-"), "bin": bytes([n]) * size} for n in range(samples)])


OBJECTS = {f"m{index}": shard_of(index) for index in range(SHARDS)}
EXPECTED = [f"{index}-{n}" for index in range(SHARDS) for n in range(SAMPLES)]


async def keys(fetcher: MemoryFetcher, urls=tuple(OBJECTS), **options) -> list[str]:
    async with open_samples(list(urls), fetcher=lambda: fetcher, **options) as samples:
        found = [sample["__key__"] async for sample in samples]
    assert fetcher.open_now == 0
    assert fetcher.closed
    return found


@pytest.mark.parametrize("ranged", [True, False])
@pytest.mark.parametrize("sized", [True, False])
@pytest.mark.parametrize("chunk_bytes", [1, 100, 512, 5000, 1 << 20])
async def test_every_sample_in_plan_order(ranged, sized, chunk_bytes):
    shards, samples = ((0, 3), 3) if chunk_bytes == 1 else (range(SHARDS), SAMPLES)  # 70 us a chunk
    objects = {f"m{index}": shard_of(index, samples) for index in shards}
    fetcher = MemoryFetcher(objects, chunk_bytes=chunk_bytes, ranged=ranged, sized=sized)
    expected = [f"{index}-{n}" for index in shards for n in range(samples)]
    assert await keys(fetcher, tuple(objects), prefetch=Prefetch(connections=3, part_bytes=3000)) == expected


class Jitter:
    """Steers a fetcher: waits a random number of loop turns before each answer and chunk; counts what is open."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.peak = 0
        self.fetcher: MemoryFetcher | None = None

    async def __call__(self, _url: str, _offset: int | None) -> None:
        assert self.fetcher is not None
        self.peak = max(self.peak, self.fetcher.open_now)
        for _ in range(self.random.choice((0, 0, 1, 3, 20))):
            await asyncio.sleep(0)

    def over(self, objects, **options) -> MemoryFetcher:
        self.fetcher = MemoryFetcher(objects, steer=self, **options)
        return self.fetcher


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("interleave", [1, 3])
async def test_order_depends_on_the_plan_and_never_on_timing(seed, interleave):
    prefetch = Prefetch(connections=4, part_bytes=2000, interleave=interleave, interleave_samples=5)
    calm = await keys(MemoryFetcher(OBJECTS), prefetch=prefetch)
    jittery = await keys(Jitter(seed).over(OBJECTS, chunk_bytes=300, ranged=seed % 2 == 0), prefetch=prefetch)
    assert jittery == calm
    assert sorted(calm) == sorted(EXPECTED)
    assert (calm == EXPECTED) == (interleave == 1)


@pytest.mark.parametrize("seed", range(5))
async def test_arrival_order_gives_every_sample_once(seed):
    fetcher = Jitter(seed).over(OBJECTS, chunk_bytes=700, ranged=seed % 2 == 0)
    found = await keys(fetcher, prefetch=Prefetch(connections=4, part_bytes=2000, order="arrival"))
    assert sorted(found) == sorted(EXPECTED)
    for index in range(SHARDS):
        assert [key for key in found if key.startswith(f"{index}-")] == EXPECTED[index * SAMPLES : (index + 1) * SAMPLES]


@pytest.mark.parametrize("connections", [1, 2, 5, 9])
async def test_a_fixed_number_of_connections_is_exact(connections):
    jitter = Jitter(connections)
    await keys(jitter.over(OBJECTS, chunk_bytes=300), prefetch=Prefetch(connections=connections, part_bytes=1000))
    assert jitter.peak == connections


async def test_one_large_shard_is_fetched_in_parallel_parts():
    jitter = Jitter(1)
    big = {"big": shard_of(0, samples=200)}
    assert len(await keys(jitter.over(big), ["big"], prefetch=Prefetch(connections=6, part_bytes=4000))) == 200
    assert jitter.peak == 6


async def test_thousands_of_shards():
    tiny = shard_of(0, samples=1, size=1)
    objects = {f"t{index}": tiny for index in range(3000)}
    assert len(await keys(MemoryFetcher(objects), list(objects))) == 3000


async def test_an_empty_list_is_refused_and_a_place_without_shards_is_empty():
    with pytest.raises(SpecError):
        open_samples([])
    assert await keys(MemoryFetcher(OBJECTS), ["m0"], place=WorkerInfo(rank=1, world_size=2)) == []


async def test_an_object_of_no_bytes_is_an_error():
    with pytest.raises(Exception, match="empty") as caught:
        await keys(MemoryFetcher({"m0": b""}), ["m0"])
    assert caught.value.url == "m0"


async def test_what_is_missing_stands_where_it_belongs():
    seen, errors = [], []

    def handler(error: Exception) -> bool:
        errors.append((error, len(seen)))
        return True

    objects = {**OBJECTS, "m1": OBJECTS["m1"][:4000]}
    del objects["m3"]
    fetcher = MemoryFetcher(objects, chunk_bytes=900)
    async with open_samples(list(OBJECTS), fetcher=lambda: fetcher, handler=handler, prefetch=4) as samples:
        async for sample in samples:
            seen.append(sample["__key__"])
        stats = samples.stats()
    (truncated, after), (missing, later) = errors
    assert isinstance(truncated, TruncatedTarError)
    assert isinstance(missing, NotFoundError)
    assert (truncated.url, missing.url) == ("m1", "m3")
    assert seen[:after] == EXPECTED[:after]
    assert (after, later) == (SAMPLES + 2, 2 * SAMPLES + 2)  # it was cut in a member of the sample behind these
    assert (stats.shards, stats.shards_failed) == (3, 2)


@pytest.mark.parametrize("interleave", [1, 2])
async def test_a_shard_that_failed_is_counted_with_its_error(interleave):
    """Whoever raises that comes for nothing more, so that nothing can be counted later."""
    counters = Counters()
    prefetch = Prefetch(connections=2, interleave=interleave, interleave_samples=2)
    stream = BlockStream(iter([Shard("m0", 0)]), MemoryFetcher({"m0": OBJECTS["m0"][:9000]}), prefetch, ReadOptions(GiB), counters)
    while (await stream.next_block()).error is None:
        assert counters.shards_failed == 0
    assert counters.shards_failed == 1
    assert await stream.next_block() is None
    assert (counters.shards, counters.shards_failed) == (0, 1)
    await stream.aclose()


async def test_an_error_of_the_fetcher_that_is_not_ours_is_wrapped_and_kept_as_cause():
    async def steer(url: str, offset: int | None) -> None:
        if url == "m2" and offset:
            raise LookupError("a bug")

    with pytest.raises(FetchError, match="LookupError: a bug") as caught:
        await keys(MemoryFetcher(OBJECTS, steer=steer, chunk_bytes=1000))
    assert isinstance(caught.value.__cause__, LookupError)
    assert caught.value.url == "m2"


@pytest.mark.parametrize("mistake", [7, "no shard"], ids=["in a callback", "in a task"])
async def test_an_error_of_the_engine_itself_reaches_the_consumer(mistake):
    fetcher = MemoryFetcher(OBJECTS)
    plan = iter([Shard("m0", 0), mistake])  # which shows when the second one is started
    stream = BlockStream(plan, fetcher, Prefetch(connections=1, part_bytes=3000), ReadOptions(GiB), Counters())
    with pytest.raises(AttributeError):
        while await stream.next_block() is not None:
            pass
    await stream.aclose()
    assert fetcher.closed


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 5, 8, 13, 21, 34, 55])
@pytest.mark.parametrize("ranged", [True, False])
async def test_fault_37_cancelled_anywhere_it_leaves_nothing_open(turns, ranged):
    fetcher = Jitter(turns).over(OBJECTS, chunk_bytes=500, ranged=ranged)
    task = asyncio.create_task(keys(fetcher, prefetch=Prefetch(connections=3, part_bytes=1500)))
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert fetcher.open_now == 0
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_fault_37_cancelled_while_it_waits_for_a_byte_that_never_comes():
    waiting = asyncio.Event()

    async def steer(url: str, offset: int | None) -> None:
        if offset:
            waiting.set()
            await asyncio.Event().wait()

    fetcher = MemoryFetcher(OBJECTS, steer=steer, chunk_bytes=1000)
    task = asyncio.create_task(keys(fetcher))
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert fetcher.open_now == 0
    assert fetcher.closed
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_leaving_early_cancels_the_fetches():
    fetcher = Jitter(0).over(OBJECTS, chunk_bytes=500)
    async with open_samples(list(OBJECTS), fetcher=lambda: fetcher, prefetch=4) as samples:
        assert (await anext(samples))["__key__"] == EXPECTED[0]
    assert fetcher.open_now == 0
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_stream_without_ranges_is_not_read_further_than_its_share():
    far = 0

    async def steer(url: str, offset: int | None) -> None:
        nonlocal far
        far = max(far, offset or 0)
        await asyncio.sleep(0)

    big = {"big": shard_of(0, samples=100, size=1000)}
    fetcher = MemoryFetcher(big, ranged=False, steer=steer, chunk_bytes=1000)
    prefetch = Prefetch(connections=1, part_bytes=10_000)
    async with open_samples(["big"], fetcher=lambda: fetcher, prefetch=prefetch) as samples:
        await anext(samples)
        for _ in range(500):
            await asyncio.sleep(0)
        assert far <= 15_000
        assert len([sample async for sample in samples]) == 99


async def test_a_small_budget_never_stops_the_stream():
    for buffer_bytes in (1, 500, 3000):
        prefetch = Prefetch(connections=4, buffer_bytes=buffer_bytes, part_bytes=1000, interleave=2)
        assert sorted(await keys(MemoryFetcher(OBJECTS, chunk_bytes=300), prefetch=prefetch)) == sorted(EXPECTED)


async def test_a_part_that_is_slow_while_the_reader_waits_gets_a_second_connection():
    made = list(make_samples(8, size=500_000, fields=["bin"]))
    with FaultServer({"big.tar": make_shard(made)}, bytes_per_second=1.5e6) as server:
        async with open_samples(server.url("big.tar"), prefetch=Prefetch(connections=4, part_bytes=8 * MiB)) as samples:
            found = [sample async for sample in samples]
            stats = samples.stats()
    assert [(sample["__key__"], sample["bin"]) for sample in found] == [(one["__key__"], one["bin"]) for one in made]
    # A machine that stands still makes the part look stalled, and the answer late.
    assert stats.splits >= 1
    assert stats.splits <= 6 + stats.restarts
    assert server.counters.requests == 1 + stats.splits + stats.restarts + stats.retries + stats.hedges


@pytest.mark.parametrize(
    ("order", "interleave", "names"), [("plan", 1, "a"), ("plan", 2, "ab"), ("arrival", 1, "a"), ("arrival", 1, "abc")]
)
async def test_a_part_that_stalls_while_the_reader_waits_goes_on_over_another_connection(order, interleave, names):
    made = list(make_samples(40, size=100_000, fields=["bin"]))
    with FaultServer(dict.fromkeys(names, make_shard(made)), faults=[Fault(stall_at=1_000_000, times=2)]) as server:
        prefetch = Prefetch(connections=2, part_bytes=3_000_000, order=order, interleave=interleave)
        async with open_samples([server.url(name) for name in names], prefetch=prefetch) as samples:
            found = [sample["bin"] async for sample in samples]
            stats = samples.stats()
    assert sorted(found) == sorted([one["bin"] for one in made] * len(names))
    assert stats.restarts >= 2  # more where the machine stands still for as long as a stall
    assert stats.retries == 0


async def test_auto_connections_read_everything():
    assert await keys(Jitter(3).over(OBJECTS)) == EXPECTED
