"""`HttpFetcher` against a real nginx: that our own server and our own client agree proves little."""

import asyncio
import os
import random
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from nginx import Nginx

from asyncwds import Http, Retry
from asyncwds.errors import ChangedError, FetchError, NotFoundError
from asyncwds.runtime import Counters
from asyncwds.settings import Access
from asyncwds.storage import Fetcher, HttpFetcher, Retrying
from asyncwds.testing import CHECKS, read

DATA = random.Random(1).randbytes(1_000_003)
PART = 65_536
QUICK = Retry(tries=20, backoff=0.02, backoff_max=0.3)


@pytest.fixture
def name(nginx: Nginx) -> str:
    """An object of its own for each test."""
    name = f"{uuid.uuid4().hex}.tar"
    (nginx.files / name).write_bytes(DATA)
    return name


@asynccontextmanager
async def open_fetcher(counters: Counters, retry: Retry = QUICK, http: Http | None = None) -> AsyncIterator[Fetcher]:
    fetcher = Retrying(HttpFetcher(Access(http or Http(), retry), counters), retry, counters)
    try:
        yield fetcher
    finally:
        await fetcher.aclose()


async def read_in_parts(fetcher: Fetcher, url: str, at_once: int) -> bytes:
    limit = asyncio.Semaphore(at_once)

    async def part(start: int) -> bytes:
        async with limit:
            answer, data = await read(fetcher, url, start, min(start + PART, len(DATA)))
        assert (answer.start, answer.total, answer.ranged) == (start, len(DATA), True)
        return data

    return b"".join(await asyncio.gather(*(part(start) for start in range(0, len(DATA), PART))))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_it_passes_the_contract(nginx: Nginx, check: Callable) -> None:
    prefix = uuid.uuid4().hex

    def put(name: str, data: bytes) -> str:
        (nginx.files / f"{prefix}-{name}").write_bytes(data)
        return nginx.url("plain", f"{prefix}-{name}")

    async with open_fetcher(Counters()) as fetcher:
        await check(fetcher, put)


@pytest.mark.parametrize("at_once", [1, 16])
async def test_parts_join_to_the_object(nginx: Nginx, name: str, at_once: int) -> None:
    counters = Counters()
    async with open_fetcher(counters) as fetcher:
        assert await read_in_parts(fetcher, nginx.url("plain", name), at_once) == DATA
    assert (counters.bytes, counters.retries) == (len(DATA), 0)


async def test_fault_02_a_certificate_is_trusted_only_if_its_authority_is_named(nginx: Nginx, name: str) -> None:
    url = nginx.tls_url("plain", name)
    async with open_fetcher(Counters(), http=Http(ca_file=nginx.ca_file)) as fetcher:
        assert await read_in_parts(fetcher, url, 4) == DATA
    async with open_fetcher(Counters()) as fetcher:
        with pytest.raises(FetchError, match="certificate") as caught:
            await read(fetcher, url)
    assert (caught.value.url, caught.value.attempts) == (url, 1)


async def test_fault_03_requests_beyond_the_rate_get_429_and_are_made_again(nginx: Nginx, name: str) -> None:
    counters = Counters()
    async with open_fetcher(counters) as fetcher:
        url = nginx.url("one-request-each-100-ms", name)
        answers = await asyncio.gather(*(read(fetcher, url, start, start + PART) for start in range(0, 4 * PART, PART)))
    assert b"".join(data for _, data in answers) == DATA[: 4 * PART]
    assert counters.throttled == counters.retries > 0


async def test_fault_03_connections_beyond_the_limit_get_503_and_are_made_again(nginx: Nginx, name: str) -> None:
    counters = Counters()
    async with open_fetcher(counters) as fetcher:
        url = nginx.url("one-connection", name)
        answers = await asyncio.gather(*(read(fetcher, url, start, start + PART) for start in (0, PART)))
    assert b"".join(data for _, data in answers) == DATA[: 2 * PART]
    assert counters.throttled == counters.retries > 0


async def test_fault_07_redirects_keep_the_range(nginx: Nginx, name: str) -> None:
    async with open_fetcher(Counters()) as fetcher:
        assert await read_in_parts(fetcher, nginx.url("moved", name), 4) == DATA


async def test_fault_06_a_missing_object_is_asked_for_once(nginx: Nginx) -> None:
    counters = Counters()
    async with open_fetcher(counters) as fetcher:
        with pytest.raises(NotFoundError):
            await read(fetcher, nginx.url("plain", "missing.tar"))
    assert counters.requests == 1


async def test_fault_13_a_server_without_ranges_gives_one_stream(nginx: Nginx, name: str) -> None:
    async with open_fetcher(Counters()) as fetcher:
        answer, data = await read(fetcher, nginx.url("no-ranges", name))
        assert (answer.start, answer.total, answer.ranged) == (0, len(DATA), False)
        assert data == DATA
        answer, data = await read(fetcher, nginx.url("no-ranges", name), 0, PART)
        assert not answer.ranged
        assert data == DATA


async def test_fault_14_an_object_that_was_replaced_is_refused(nginx: Nginx, name: str) -> None:
    async with open_fetcher(Counters()) as fetcher:
        url = nginx.url("plain", name)
        answer, _ = await read(fetcher, url, 0, PART)
        assert (await read(fetcher, url, PART, 2 * PART, answer.identity))[1] == DATA[PART : 2 * PART]
        os.utime(nginx.files / name, (0, 0))  # nginx makes the ETag of time and size
        with pytest.raises(ChangedError) as caught:
            await read(fetcher, url, 2 * PART, 3 * PART, answer.identity)
    assert (caught.value.url, caught.value.offset, caught.value.status) == (url, 2 * PART, 412)


async def test_connections_closed_without_an_answer_are_made_again_and_counted(nginx: Nginx, name: str) -> None:
    counters = Counters()
    async with open_fetcher(counters, Retry(tries=3, backoff=0.01)) as fetcher:
        with pytest.raises(FetchError) as caught:
            await read(fetcher, nginx.url("closed", name))
    assert (caught.value.attempts, counters.retries) == (3, 2)


async def test_one_connection_serves_request_after_request(nginx: Nginx, name: str) -> None:
    async with open_fetcher(Counters()) as fetcher:
        await read_in_parts(fetcher, nginx.url("plain", name), 1)
        # nginx writes its log after the answer; the answer to a later request proves that it is written.
        await read(fetcher, nginx.url("plain", name), 0, 1)
    connections = {connection for connection, _, request in nginx.requests() if name in request}
    assert len(connections) == 1
