"""Requests at once, and a second."""

import asyncio
import socket
from dataclasses import replace

import pytest

from asyncwds import Http, Retry
from asyncwds.errors import FetchError, SpecError
from asyncwds.runtime import Counters
from asyncwds.settings import Access
from asyncwds.storage import HttpFetcher, Retrying
from asyncwds.storage.http.connections import RequestLimits
from asyncwds.testing import Fault, FaultServer, read

IMPATIENT = Retry(tries=20, backoff=0.001, backoff_max=0.01, connect_timeout=0.5, stall_timeout=0.3)


async def most_at_once(limits: RequestLimits, hosts: list[str]) -> int:
    now = most = 0

    async def request(host: str) -> None:
        nonlocal now, most
        place = await limits.enter(host)
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.001)
        now -= 1
        place.leave()

    await asyncio.gather(*map(request, hosts))
    return most


async def test_no_more_at_once_than_a_host_may_have() -> None:
    assert await most_at_once(RequestLimits(3, None), ["a:1"] * 20) == 3
    assert await most_at_once(RequestLimits(3, None), ["a:1", "b:1"] * 20) == 6
    assert await most_at_once(RequestLimits(None, None), ["a:1"] * 20) == 20


async def test_turns_are_as_far_apart_as_they_should_be(monkeypatch) -> None:
    waited = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr("asyncwds.storage.http.connections.asyncio.sleep", sleep)
    limits = RequestLimits(None, 10.0)
    for _ in range(5):
        await limits.enter("a:1")
    assert len(waited) == 4
    assert all(0.1 * (turn - 0.1) < seconds <= 0.1 * turn for turn, seconds in enumerate(waited, 1))


async def test_a_place_that_is_left_twice_is_free_once() -> None:
    limits = RequestLimits(1, None)
    place = await limits.enter("a:1")
    place.leave()
    place.leave()
    await limits.enter("a:1")
    waiting = asyncio.create_task(limits.enter("a:1"))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    waiting.cancel()
    await asyncio.wait([waiting])


async def test_cancelled_while_it_waits_for_its_turn_it_gives_its_place_back() -> None:
    limits = RequestLimits(1, 0.01)
    (await limits.enter("a:1")).leave()
    waiting = asyncio.create_task(limits.enter("a:1"))
    await asyncio.sleep(0.01)
    assert limits._hosts["a:1"].locked()
    waiting.cancel()
    await asyncio.wait([waiting])
    assert not limits._hosts["a:1"].locked()


async def test_requests_to_one_host_are_bounded_wherever_they_were_redirected() -> None:
    """The gateway answers all at once; the host behind it gets two at a time."""
    data = bytes(1000)
    with FaultServer({"a": data}, first_byte_delay=0.02) as target, FaultServer({"a": b""}) as gateway:
        gateway.add(Fault(redirect_to=target.url("a")))
        fetcher = HttpFetcher(Access(Http(trust_env=False, connections_per_host=2)), Counters())
        answers = await asyncio.gather(*(read(fetcher, gateway.url("a")) for _ in range(12)))
        await fetcher.aclose()
    assert {found for _, found in answers} == {data}
    assert target.counters.peak_in_flight <= 2
    assert (target.counters.requests, gateway.counters.requests) == (12, 12)


async def test_what_requests_wait_is_counted() -> None:
    counters = Counters()
    with FaultServer({"a": bytes(1000)}) as server:
        fetcher = HttpFetcher(Access(Http(trust_env=False, requests_per_second=20)), counters)
        await asyncio.gather(*(read(fetcher, server.url("a")) for _ in range(4)))
        await fetcher.aclose()
    # The second, third and fourth wait for 1, 2 and 3 turns, less what it took to come to that.
    assert counters.held_back > 3 / 20


FAILURES = [
    Fault(cut_at=1000),
    Fault(reset_at=1000),
    Fault(stall_at=1000),
    Fault(stall_headers=True),
    Fault(status=503),
    Fault(close_without_answer=True),
]


@pytest.mark.parametrize("fault", FAILURES, ids=["cut", "reset", "stall", "mute", "refused", "closed"])
@pytest.mark.parametrize("lent", [0, 300_000])
def test_after_a_failure_the_address_is_looked_up_again(fault: Fault, lent: int) -> None:
    """Names are looked up in threads of the loop, which go with it: no coroutine, to see the loop's end."""

    async def lookups(host: str) -> int:
        counters = Counters()
        http = HttpFetcher(Access(Http(trust_env=False), IMPATIENT), counters)
        fetcher = Retrying(http, IMPATIENT, counters)
        url = server.url("a").replace("127.0.0.1", host)
        assert (await read(fetcher, url))[1] == bytes(300_000)
        asked = counters.lookups
        server.add(replace(fault, times=2))  # aiohttp itself asks again once where a kept connection is closed
        assert (await read(fetcher, url, lent=lent))[1] == bytes(300_000)
        await fetcher.aclose()
        return counters.lookups - asked

    with FaultServer({"a": bytes(300_000)}) as server:
        assert asyncio.run(lookups("localhost")) >= 1
        assert asyncio.run(lookups("127.0.0.1")) == 0


def test_a_connection_that_fails_asks_for_the_address_again() -> None:
    async def attempts() -> int:
        counters = Counters()
        fetcher = HttpFetcher(Access(Http(trust_env=False)), counters)
        for _ in range(2):
            with pytest.raises(FetchError):
                await read(fetcher, f"http://localhost:{port}/a")
        await fetcher.aclose()
        return counters.lookups

    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert asyncio.run(attempts()) == 2


@pytest.mark.parametrize("values", [{"connections_per_host": 0}, {"requests_per_second": 0}])
def test_limits_that_let_nothing_through_are_refused(values) -> None:
    with pytest.raises(SpecError):
        Http(**values)
