"""`HttpFetcher` itself: the contract, its session, its counters, and that cancellation leaves nothing open."""

import asyncio
import os
import random
from collections.abc import Callable, Iterator
from contextlib import aclosing
from dataclasses import replace

import pytest

from asyncwds import Http, Retry
from asyncwds.errors import BridgeError, FetchError, ShortBodyError
from asyncwds.runtime import Counters
from asyncwds.settings import Access
from asyncwds.storage import Fetcher, Hedged, HttpFetcher, ObjectRange, Retrying
from asyncwds.testing import CHECKS, Fault, FaultServer, leaks, read

DATA = random.Random(1).randbytes(300_000)
QUICK = Retry(tries=3, backoff=0.001, backoff_max=0.005, connect_timeout=2, stall_timeout=1)
PLAIN = Http(trust_env=False)


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer({"a.tar": DATA, "empty.tar": b""}) as server:
        yield server


def bare(counters: Counters) -> Fetcher:
    return HttpFetcher(Access(PLAIN, QUICK), counters)


def retrying(counters: Counters) -> Fetcher:
    return Retrying(bare(counters), QUICK, counters)


def hedged(counters: Counters) -> Fetcher:
    counters.first_bytes.extend([0.0] * 100)
    return Hedged(bare(counters), replace(QUICK, hedge_extra=1.0), counters)


def both(counters: Counters) -> Fetcher:
    return Retrying(hedged(counters), QUICK, counters)


FETCHERS = [bare, retrying, hedged, both]


# The contract's check for replaced objects wants a range.
WITHOUT_RANGES = [check for check in CHECKS if check.__name__ != "replaced_objects"]


@pytest.mark.parametrize("make", FETCHERS)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_it_passes_the_contract(make: Callable, check: Callable) -> None:
    await pass_check(make, check, Fault())


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_it_passes_the_contract_with_chunked_answers(check: Callable) -> None:
    await pass_check(both, check, Fault(chunked=True))


@pytest.mark.parametrize("check", WITHOUT_RANGES, ids=lambda check: check.__name__)
async def test_it_passes_the_contract_without_ranges(check: Callable) -> None:
    await pass_check(both, check, Fault(no_ranges=True))


async def pass_check(make: Callable, check: Callable, fault: Fault) -> None:
    with FaultServer({}, faults=[fault]) as server:
        async with leaks(), aclosing(make(Counters())) as fetcher:
            await check(fetcher, server.put)


async def test_counters(server: FaultServer) -> None:
    counters = Counters()
    async with aclosing(HttpFetcher(Access(PLAIN, QUICK), counters)) as fetcher:
        await read(fetcher, server.url("a.tar"), 0, 1000)
        await read(fetcher, server.url("a.tar"), 1000, 5000)
        with pytest.raises(FetchError):
            await read(fetcher, server.url("missing.tar"))
    assert (counters.requests, counters.bytes, len(counters.first_bytes)) == (3, 5000, 2)
    assert all(0 < seconds < 10 for seconds in counters.first_bytes)


async def test_one_connection_serves_one_request_after_another(server: FaultServer) -> None:
    async with aclosing(HttpFetcher(Access(PLAIN, QUICK), Counters())) as fetcher:
        for start in range(0, 10_000, 1000):
            await read(fetcher, server.url("a.tar"), start, start + 1000)
    assert server.counters.connections_made == 1


async def test_as_many_connections_as_are_asked_for(server: FaultServer) -> None:
    server.add(Fault(stall_headers=True))
    async with aclosing(HttpFetcher(Access(PLAIN, replace(QUICK, connect_timeout=60, stall_timeout=60)), Counters())) as fetcher:
        reading = [asyncio.create_task(read(fetcher, server.url("a.tar"))) for _ in range(150)]
        while server.counters.in_flight < 150:  # noqa: ASYNC110  the server lives in a thread of its own
            await asyncio.sleep(0.01)
        for task in reading:
            task.cancel()
        await asyncio.wait(reading)


async def test_an_empty_object_is_empty_from_any_byte(server: FaultServer) -> None:
    async with aclosing(HttpFetcher(Access(PLAIN, QUICK), Counters())) as fetcher:
        for start in (0, 10):
            answer, data = await read(fetcher, server.url("empty.tar"), start)
            assert (answer.start, answer.total, answer.ranged, data) == (start, 0, True, b"")


@pytest.mark.parametrize(("start", "stop"), [(len(DATA), None), (len(DATA), len(DATA) + 10), (10, 10)])
async def test_ranges_without_a_byte(server: FaultServer, start: int, stop: int | None) -> None:
    async with aclosing(HttpFetcher(Access(PLAIN, QUICK), Counters())) as fetcher:
        answer, data = await read(fetcher, server.url("a.tar"), start, stop)
        assert (answer.start, answer.total, data) == (start, len(DATA), b"")


async def test_416_for_a_byte_that_is_there_is_an_error(server: FaultServer) -> None:
    server.add(Fault(status=416, headers={"Content-Range": "bytes */300000"}))
    async with aclosing(HttpFetcher(Access(PLAIN, QUICK), Counters())) as fetcher:
        with pytest.raises(FetchError, match="416"):
            await read(fetcher, server.url("a.tar"), 10, 20)


async def test_every_resume_is_the_wrappers_business(server: FaultServer) -> None:
    server.add(Fault(cut_at=1000))
    async with aclosing(HttpFetcher(Access(PLAIN, QUICK), Counters())) as fetcher:
        received = b""
        with pytest.raises(ShortBodyError) as caught:
            async with fetcher.open(ObjectRange(server.url("a.tar"))) as body:
                async for chunk in body:
                    received += chunk
    assert (received, caught.value.offset, caught.value.retryable) == (DATA[:1000], 1000, True)
    assert server.counters.requests == 1


async def test_escapes_and_odd_characters_in_a_url(server: FaultServer) -> None:
    server.put("a b+c/ü.tar", DATA)
    async with aclosing(HttpFetcher(Access(PLAIN, QUICK), Counters())) as fetcher:
        for name in ("a b+c/ü.tar", "a%20b+c/%C3%BC.tar", "%61%20b%2Bc/%c3%bc.tar"):
            assert (await read(fetcher, server.url() + name, 0, 10))[1] == DATA[:10]
        assert server.requests[-1].target == "/%61%20b%2Bc/%c3%bc.tar"


@pytest.mark.parametrize("name", ["Location", "Content-Security-Policy"])
async def test_long_headers(server: FaultServer, name: str) -> None:
    """As targets of redirects with tokens of sessions are, which aiohttp alone refuses from 8190 bytes on."""
    url = server.url("a.tar")
    long = f"{url}?token={'x' * 20_000}"
    server.add(Fault(times=1, redirect_to=long) if name == "Location" else Fault(headers={name: long}))
    async with aclosing(HttpFetcher(Access(PLAIN, QUICK), Counters())) as fetcher:
        assert (await read(fetcher, url, 0, 10))[1] == DATA[:10]


def in_a_child(function: Callable[[], object]) -> bool:
    """Whether it raises nothing in a forked process."""
    child = os.fork()
    if child == 0:
        try:
            function()
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitpid(child, 0)[1] == 0


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # 3.12+ warns that forking with threads is dangerous
def test_fault_34_after_a_fork_it_refuses_to_work(server: FaultServer) -> None:
    used, unused = HttpFetcher(Access(PLAIN, QUICK), Counters()), HttpFetcher(Access(PLAIN, QUICK), Counters())

    async def refuse() -> None:
        with pytest.raises(BridgeError, match="forked"):
            await read(used, server.url("a.tar"))
        await used.aclose()

    with asyncio.Runner() as runner:
        runner.run(read(used, server.url("a.tar"), 0, 10))
        assert in_a_child(lambda: asyncio.run(refuse()))
        assert in_a_child(lambda: asyncio.run(read(unused, server.url("a.tar"))))
        assert server.counters.connections_made == 2
        # What the child did has closed nothing here.
        assert runner.run(read(used, server.url("a.tar"), 0, 10))[1] == DATA[:10]
        assert server.counters.connections_made == 2
        runner.run(used.aclose())


async def test_a_fetcher_that_was_never_used_has_nothing_to_close() -> None:
    async with leaks():
        await HttpFetcher(Access(PLAIN, QUICK), Counters()).aclose()


STAGES = {
    "connecting": Fault(),
    "waiting_for_the_answer": Fault(stall_headers=True),
    "in_a_redirect": Fault(path="a.tar", redirect_to="/b.tar"),
    "in_a_refusal": Fault(status=503, body=b"x" * 1000, drip=100),
    "after_headers": Fault(stall_at=0),
    "in_the_body": Fault(stall_at=1000),
    "pausing_before_a_retry": Fault(close_without_answer=True),
}


@pytest.mark.parametrize("make", FETCHERS)
@pytest.mark.parametrize("stage", STAGES)
async def test_fault_37_cancelled_at_any_await_it_leaves_nothing(server: FaultServer, stage: str, make: Callable) -> None:
    server.put("b.tar", DATA)
    server.add(STAGES[stage], Fault(path="b.tar", stall_at=10))
    fetcher = make(Counters())
    async with leaks():
        for turns in (*range(1, 16), 60):
            task = asyncio.create_task(read(fetcher, server.url("a.tar")))
            for _ in range(turns):
                await asyncio.sleep(0.001 if turns == 60 else 0)
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled() or isinstance(task.exception(), FetchError) or task.result()[1] == DATA
        await fetcher.aclose()
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.parametrize("make", FETCHERS)
async def test_closing_while_bodies_are_open_leaves_nothing(server: FaultServer, make: Callable) -> None:
    server.add(Fault(stall_at=1000))
    fetcher = make(Counters())
    async with leaks(), fetcher.open(ObjectRange(server.url("a.tar"))) as body:
        await anext(aiter(body))
        await fetcher.aclose()
    assert len(asyncio.all_tasks()) == 1
