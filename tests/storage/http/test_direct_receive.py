"""Bodies received past aiohttp: the connection's life before, during and after. What every fetcher must do is in the contract."""

import asyncio
import random
import ssl
from collections.abc import Iterator

import pytest
import trustme
import uvloop

from asyncwds import Http, Retry
from asyncwds.errors import FetchError
from asyncwds.runtime import Counters
from asyncwds.settings import Access
from asyncwds.storage import HttpFetcher, ObjectRange
from asyncwds.testing import Fault, FaultServer, check_fetcher, leaks, read

DATA = (random.Random(1).randbytes(65_537) * 46)[:3_000_000]  # no two parts are alike
PLAIN = Http(trust_env=False)


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer({"a.tar": DATA}) as server:
        yield server


async def fetched(fetcher: HttpFetcher, url: str) -> bytes:
    return (await read(fetcher, url, 0, len(DATA), lent=len(DATA)))[1]


async def test_the_connection_is_used_again_once_the_body_is_there(server: FaultServer) -> None:
    fetcher = HttpFetcher(Access(PLAIN), Counters())
    async with leaks():
        for _ in range(5):
            assert await fetched(fetcher, server.url("a.tar")) == DATA
        await fetcher.aclose()
    assert server.counters.connections_made == 1


async def test_a_connection_that_is_left_early_is_not_used_again_and_nothing_more_is_written(server: FaultServer) -> None:
    fetcher = HttpFetcher(Access(PLAIN), Counters())
    buffer = memoryview(bytearray(len(DATA)))
    async with fetcher.open(ObjectRange(server.url("a.tar"), 0, len(DATA)), buffer=buffer) as body:
        assert await anext(aiter(body))
    buffer[:] = bytes(len(DATA))
    assert await fetched(fetcher, server.url("a.tar")) == DATA
    assert not any(buffer)
    await fetcher.aclose()
    assert server.counters.connections_made == 2


async def test_surplus_bytes_never_reach_the_next_answer(server: FaultServer) -> None:
    server.add(Fault(extra_bytes=100_000, times=1))
    fetcher = HttpFetcher(Access(PLAIN), Counters())
    assert await fetched(fetcher, server.url("a.tar")) == DATA
    for _ in range(3):
        try:
            assert await fetched(fetcher, server.url("a.tar")) == DATA
        except FetchError as error:
            assert error.retryable  # noqa: PT017 - either is right
    await fetcher.aclose()


async def test_few_bytes_are_handed_on_without_waiting_for_many(server: FaultServer) -> None:
    server.add(Fault(stall_at=1_000_000))
    fetcher = HttpFetcher(Access(PLAIN, Retry(stall_timeout=0.5)), Counters())
    got = 0
    buffer = memoryview(bytearray(len(DATA)))
    with pytest.raises(FetchError, match="stalled"):
        async with fetcher.open(ObjectRange(server.url("a.tar"), 0, len(DATA)), buffer=buffer) as body:
            async for chunk in body:
                got += len(chunk)
    assert got == 1_000_000
    await fetcher.aclose()


async def test_what_came_before_a_reset_is_handed_on_before_the_error(server: FaultServer) -> None:
    server.add(Fault(reset_at=1_234_567))
    fetcher = HttpFetcher(Access(PLAIN), Counters())
    buffer = memoryview(bytearray(len(DATA)))
    got = b""
    with pytest.raises(FetchError):
        async with fetcher.open(ObjectRange(server.url("a.tar"), 0, len(DATA)), buffer=buffer) as body:
            async for chunk in body:
                got += chunk
    assert got == DATA[:1_234_567]
    await fetcher.aclose()


async def test_over_tls(tmp_path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with FaultServer({"a.tar": DATA}, ssl_context=context) as server:
        fetcher = HttpFetcher(Access(Http(trust_env=False, ca_file=str(tmp_path / "ca.pem"))), Counters())
        for _ in range(3):
            assert await fetched(fetcher, server.url("a.tar")) == DATA
        await fetcher.aclose()
        assert server.counters.connections_made == 1


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_on_each_kind_of_loop(server: FaultServer, new_loop) -> None:
    def put(name: str, data: bytes) -> str:
        server.put(name, data)
        return server.url(name)

    async def main() -> None:
        first = HttpFetcher(Access(PLAIN), Counters())
        await read(first, server.url("a.tar"))  # uvloop keeps a descriptor from now on
        await first.aclose()
        async with leaks():
            await check_fetcher(lambda: HttpFetcher(Access(PLAIN), Counters()), put)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())
