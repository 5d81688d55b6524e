"""A dataset over a server that misbehaves: every sample exactly once, or an error that says where. Never less, never a hang.

The fetchers' own tests look at each fault closely; here the whole engine meets them, with several parts in flight.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from asyncwds import Prefetch, Retry, WebDataset, ignore_and_continue
from asyncwds.errors import (
    AccessError,
    ChangedError,
    FetchError,
    FetchTimeoutError,
    NotFoundError,
    TarError,
    TarHeaderError,
    ThrottledError,
    TruncatedTarError,
    WdsError,
)
from asyncwds.testing import Fault, FaultServer, digest, leaks, make_samples, make_shard

SHARDS, SAMPLES = 3, 30
RETRY = Retry(tries=4, backoff=0.001, backoff_max=0.01, retry_after_max=0.05, connect_timeout=2, stall_timeout=0.2)
PREFETCH = Prefetch(connections=4, part_bytes=20_000)


def samples_of(shard: int) -> list[dict]:
    return [{**sample, "__key__": f"{shard}-{sample['__key__']}"} for sample in make_samples(SAMPLES, size=1000, seed=shard)]


OBJECTS = {f"s{shard}.tar": make_shard(samples_of(shard)) for shard in range(SHARDS)}
EXPECTED = [sample["__key__"] for shard in range(SHARDS) for sample in samples_of(shard)]
CONTENTS = {sample["__key__"]: digest(sample) for shard in range(SHARDS) for sample in samples_of(shard)}


def dataset(server: FaultServer, **options) -> WebDataset:
    return WebDataset([server.url(name) for name in OBJECTS], **{"prefetch": PREFETCH, "retry": RETRY, **options})


def check(samples: list[dict], expected: list[str] = EXPECTED) -> None:
    assert [sample["__key__"] for sample in samples] == expected
    for sample in samples:
        assert digest(sample) == CONTENTS[sample["__key__"]]


RECOVERED = {
    "03_a_429_then_good": [Fault(status=429, retry_after=0.01, times=3)],
    "03_a_503_with_an_absurd_retry_after": [Fault(status=503, retry_after="120000", times=2)],
    "03_a_503_with_a_date": [Fault(status=503, retry_after="Wed, 21 Oct 2015 07:28:00 GMT", times=2)],
    "04_a_500": [Fault(status=500, times=3)],
    "04_a_502_now_and_then": [Fault(status=502, every=4)],
    "04_a_504_in_the_second_shard": [Fault(status=504, path="s1.tar", times=2)],
    "08_resets": [Fault(reset_at=7000, every=3)],
    "08_a_reset_before_the_first_byte": [Fault(reset_at=0, times=3)],
    "09_early_closes": [Fault(cut_at=3000, every=2)],
    "11_a_stall_in_a_body": [Fault(stall_at=5000, times=2)],
    "11_a_stall_before_the_answer": [Fault(stall_headers=True, times=1, path="s0.tar")],
    "13_a_server_without_ranges": [Fault(no_ranges=True)],
    "13_a_server_that_refuses_ranges": [Fault(range_status=501)],
    "13_a_server_that_sometimes_ignores_ranges": [Fault(no_ranges=True, every=3)],
    "13_a_wrong_range_now_and_then": [Fault(wrong_range=512, every=4)],
    "10_chunked": [Fault(no_ranges=True, chunked=True)],
    "10_no_length_at_all": [Fault(no_ranges=True, no_length=True)],
    "10_chunked_without_its_last_chunk_once": [Fault(no_ranges=True, chunked=True, cut_at=9000, times=1)],
    "15_gzip_that_nobody_asked_for": [Fault(no_ranges=True, content_encoding="gzip")],
    "17_connections_closed_on_reuse": [Fault(on_reuse=True, close_without_answer=True, every=2)],
    "17_closed_without_answer": [Fault(close_without_answer=True, times=3)],
}


# With four parts in flight, every fourth request may always be the same part's.
PATIENT = replace(RETRY, tries=20)


@pytest.mark.parametrize("name", RECOVERED)
def test_fault_recovered(name):
    with FaultServer(OBJECTS, faults=RECOVERED[name]) as server, leaks():
        dataset_ = dataset(server, retry=PATIENT)
        check(list(dataset_))
        stats = dataset_.stats()
    assert stats.shards == SHARDS
    assert stats.shards_failed == 0
    assert stats.in_flight_peak <= PREFETCH.connections


@pytest.mark.parametrize("name", [name for name in RECOVERED if not name.startswith("11")])
def test_fault_recovered_in_arrival_order_too(name):
    with FaultServer(OBJECTS, faults=RECOVERED[name]) as server, leaks():
        prefetch = Prefetch(connections=4, part_bytes=20_000, order="arrival")
        samples = list(dataset(server, prefetch=prefetch, retry=PATIENT))
    check(sorted(samples, key=lambda sample: sample["__key__"]), sorted(EXPECTED))


REFUSED = {
    "03_a_429_for_ever": ([Fault(status=429, path="s1.tar")], ThrottledError),
    "04_a_500_for_ever": ([Fault(status=500, path="s1.tar")], FetchError),
    "05_a_403": ([Fault(status=403, path="s1.tar")], AccessError),
    "06_a_404": ([Fault(status=404, path="s1.tar")], NotFoundError),
    "06_a_410": ([Fault(status=410, path="s1.tar")], NotFoundError),
    "08_resets_without_progress": ([Fault(reset_at=0, path="s1.tar")], FetchError),
    "10_cut_without_a_length": ([Fault(no_ranges=True, no_length=True, cut_at=9000, path="s1.tar")], TruncatedTarError),
    "11_a_stall_for_ever": ([Fault(stall_at=0, path="s1.tar")], FetchTimeoutError),
    "11_one_byte_a_second": ([Fault(drip=5, path="s1.tar")], FetchTimeoutError),
    "14_another_etag_in_mid_shard": ([Fault(etag='"new"', path="s1.tar", only_after_requests=1)], ChangedError),
    "14_the_same_without_conditions": (
        [Fault(etag='"new"', path="s1.tar", only_after_requests=1, ignore_conditions=True)],
        ChangedError,
    ),
    "15_an_unknown_encoding": ([Fault(headers={"Content-Encoding": "compress"}, path="s1.tar")], WdsError),
    "16_a_page_in_place_of_a_shard": ([Fault(html=True, path="s1.tar")], TarHeaderError),
    "19_a_flipped_byte_in_a_header": ([Fault(body=b"\x01" + OBJECTS["s1.tar"][1:], path="s1.tar")], TarHeaderError),
    "20_a_truncated_object": ([Fault(body=OBJECTS["s1.tar"][:30_000], path="s1.tar")], TruncatedTarError),
    "21_an_empty_object": ([Fault(body=b"", path="s1.tar")], TarError),
}


@pytest.mark.parametrize("name", REFUSED)
def test_fault_refused_with_a_typed_error(name):
    faults, kind = REFUSED[name]
    seen = []
    with FaultServer(OBJECTS, faults=faults) as server, leaks():
        with pytest.raises(kind) as caught:
            for sample in dataset(server):
                seen.append(sample)
        assert caught.value.url == server.url("s1.tar")
    assert len(seen) >= SAMPLES
    check(seen, EXPECTED[: len(seen)])


@pytest.mark.parametrize("name", REFUSED)
def test_fault_skipped_by_policy_and_counted(name):
    faults, _ = REFUSED[name]
    with FaultServer(OBJECTS, faults=faults) as server, leaks():
        dataset_ = dataset(server, handler=ignore_and_continue)
        keys = [sample["__key__"] for sample in dataset_]
    assert [key for key in keys if not key.startswith("1-")] == [key for key in EXPECTED if not key.startswith("1-")]
    assert (dataset_.stats().shards, dataset_.stats().shards_failed) == (SHARDS - 1, 1)


def test_fault_01_a_server_that_is_not_there():
    with FaultServer({}) as server:
        gone = server.url("a.tar")
    with leaks(), pytest.raises(FetchError) as caught:
        list(WebDataset(gone, retry=RETRY))
    assert caught.value.attempts == RETRY.tries


@pytest.mark.parametrize("connections", [1, 8, 32])
def test_fault_01_a_server_that_goes_away_and_comes_back(connections):
    retry = Retry(backoff=0.01, backoff_max=0.1)
    read = threading.Event()

    def epoch(stream):
        for sample in stream:
            read.set()
            yield sample

    with ThreadPoolExecutor(1) as thread:
        with FaultServer(OBJECTS, bytes_per_second=100_000) as server:
            prefetch = Prefetch(connections=connections, part_bytes=5_000)
            stream = dataset(server, retry=retry, prefetch=prefetch)
            samples = thread.submit(lambda: list(epoch(stream)))
            read.wait()
        time.sleep(0.5)
        with FaultServer(OBJECTS, host=server.host, port=server.port):
            check(samples.result())
    assert stream.stats().retries > 0


def test_fault_11_a_first_connection_that_never_answers_is_not_waited_for():
    with FaultServer(OBJECTS, faults=[Fault(stall_headers=True, times=1)]) as server:
        stream = dataset(server, retry=Retry(), prefetch=1)
        check(list(stream))
        assert stream.stats().hedges == 1
        assert stream.stats().retries == 0


def test_fault_07_redirects_to_another_host():
    with FaultServer(OBJECTS) as data:
        elsewhere = Fault(redirect_to=f"http://127.0.0.1:{data.port}{{path}}")
        with FaultServer({}, faults=[elsewhere]) as front, leaks():
            check(list(dataset(front)))


@pytest.mark.parametrize("hedge", [0.95, None])
@pytest.mark.parametrize(("shards", "samples"), [(1, 400), (120, 20)], ids=["one_long_shard", "many_short_shards"])
def test_fault_09_bodies_that_all_end_early_are_followed_to_their_end(hedge, shards, samples):
    archive = make_shard(make_samples(samples, size=4000))
    objects = {f"{shard}.tar": archive for shard in range(shards)}
    with FaultServer(objects, faults=[Fault(cut_at=30_000)]) as server:
        retry = Retry(tries=3, backoff=0.001, hedge=hedge)
        names = [server.url(name) for name in objects]
        assert sum(1 for _ in WebDataset(names, retry=retry)) == shards * samples
        assert server.counters.requests < 1.2 * shards * len(archive) / 30_000 + 2 * shards


def test_fault_12_more_bytes_than_announced():
    """aiohttp gives up an answer whose surplus comes together with its end, and delivers one whose surplus comes later."""
    errors = []
    with FaultServer(OBJECTS, faults=[Fault(extra_bytes=100, path="s1.tar")]) as server, leaks():
        samples = list(dataset(server, handler=lambda error: errors.append(error) is None))
        assert [(type(error), error.url) for error in errors] in ([], [(FetchError, server.url("s1.tar"))])
    # Any part of the shard may be the one that fails: what came before it is whole.
    came = sum(sample["__key__"].startswith("1-") for sample in samples)
    check(samples, EXPECTED[: SAMPLES + came] + EXPECTED[2 * SAMPLES :])
    assert (came == SAMPLES) == (not errors)


def test_fault_32_file_descriptors_used_up(tmp_path):
    """In a process of its own: with no descriptor left, little else works either."""
    (tmp_path / "a.tar").write_bytes(OBJECTS["s0.tar"])
    program = """
        import os, resource, sys
        from asyncwds import WebDataset
        from asyncwds.errors import FetchError
        dataset = WebDataset(sys.argv[1])
        print(len(list(dataset)))
        iterator = iter(dataset)
        resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))
        held = []
        try:
            while True:
                held.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            pass
        try:
            print(len(list(WebDataset([sys.argv[1]] * 40))))
        except (FetchError, OSError) as error:
            print(type(error).__name__, "Too many open files" in str(error) or "descriptor" in str(error))
        for number in held:
            os.close(number)
        iterator.close()
        print(len(list(dataset)))
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path / "a.tar")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    lines = done.stdout.splitlines()
    # Python itself complains on stderr about a loop that it could not make.
    assert (lines[0], lines[2], done.returncode) == (str(SAMPLES), str(SAMPLES), 0)
    assert lines[1].endswith("True")


@pytest.mark.parametrize("order", ["plan", "arrival"])
@pytest.mark.parametrize("faults", [[], [Fault(no_ranges=True)]], ids=["ranges", "streams"])
def test_fault_46_a_sleeping_consumer_bounds_what_is_fetched(order, faults):
    """The server tells how much was sent; kernels' socket buffers and asyncio's hold a little more than the budget."""
    size, budget = 24_000_000, 2_000_000
    samples = [{"__key__": f"{n}", "bin": bytes(100_000)} for n in range(size // 100_000)]
    objects = {"a": make_shard(samples), "b": make_shard(samples)}
    with FaultServer(objects, faults=faults) as server, leaks():
        prefetch = Prefetch(connections=4, buffer_bytes=budget, part_bytes=250_000, order=order)
        dataset_ = WebDataset([server.url("a"), server.url("b")], prefetch=prefetch)
        iterator = iter(dataset_)
        next(iterator)
        wait_until_idle(server)
        assert dataset_.stats().buffered_peak <= 1.25 * budget
        if not faults:
            assert server.counters.bytes_sent <= 2 * budget
        assert sum(1 for _ in iterator) == 2 * size // 100_000 - 1


def wait_until_idle(server: FaultServer) -> None:
    sent = -1
    while server.counters.bytes_sent != sent:
        sent = server.counters.bytes_sent
        time.sleep(0.2)


def test_fault_46_samples_larger_than_the_budget_pass_one_at_a_time():
    big = make_shard([{"__key__": f"k{n}", "bin": bytes([n]) * 3_000_000} for n in range(5)])
    with FaultServer({"big.tar": big}) as server, leaks():
        dataset_ = WebDataset(server.url("big.tar"), prefetch=Prefetch(connections=2, buffer_bytes=500_000))
        assert [sample["bin"][:1] for sample in dataset_] == [bytes([n]) for n in range(5)]
        # One with the consumer, one that waits for it; no third is begun.
        assert 3_000_000 <= dataset_.stats().buffered_peak <= 2 * 3_000_000 + 500_000


def test_fault_46_resident_memory_stays_in_the_budget(tmp_path):
    """A fresh process over shards far larger than its budget, with a consumer that sleeps."""
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "a.tar").write_bytes(make_shard([{"__key__": f"{n}", "bin": bytes(1_000_000)} for n in range(200)]))
    program = """
        import sys, time
        from asyncwds import Prefetch
        from asyncwds import WebDataset
        import aiohttp

        def resident():
            with open("/proc/self/status") as status:
                return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS"))

        idle = resident()
        peak = count = 0
        for sample in WebDataset(sys.argv[1], prefetch=Prefetch(connections=4, buffer_bytes=16 << 20)):
            count += 1
            if count % 20 == 0:
                time.sleep(0.02)
                peak = max(peak, resident() - idle)
        print(count, peak)
    """
    with FaultServer(folder) as server:
        command = [sys.executable, "-c", textwrap.dedent(program), server.url("a.tar")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    count, peak = map(int, done.stdout.split())
    assert count == 200
    assert peak <= 1.25 * (16 << 20) + (64 << 20)


SLOW = Retry(backoff=0.001, backoff_max=0.01, connect_timeout=1, stall_timeout=1, hedge=None)


@pytest.mark.parametrize("times", [0, 1])
def test_fault_47_what_waits_for_a_slow_shard_stays_in_the_budget(times):
    """Though the others have filled it when the slow one comes, and the consumer sleeps then."""
    faults = [Fault(path="s0.tar", stall_headers=True, times=times)]
    with FaultServer(OBJECTS, faults=faults) as server, leaks():
        plan = dataset(server, retry=SLOW, prefetch=Prefetch(connections=3, part_bytes=20_000, buffer_bytes=100_000))
        iterator = iter(plan)
        samples = [next(iterator)]
        wait_until_idle(server)
        samples += iterator
        check(samples)
        assert 50_000 <= plan.stats().buffered_peak <= 1.25 * 100_000  # bytes of a part that is being read are there twice


def test_fault_47_in_arrival_order_the_others_go_on():
    """The slow one does not answer before all others are read, however long that takes."""
    with FaultServer(OBJECTS, faults=[Fault(path="s0.tar", stall_headers=True)]) as server, leaks():
        prefetch = Prefetch(connections=3, part_bytes=20_000, buffer_bytes=200_000, order="arrival")
        iterator = iter(dataset(server, retry=SLOW, prefetch=prefetch))
        others = [next(iterator) for _ in range(2 * SAMPLES)]
        server.clear()
        samples = others + list(iterator)
    assert {sample["__key__"][0] for sample in others} == {"1", "2"}
    check(sorted(samples, key=lambda sample: sample["__key__"]), sorted(EXPECTED))
