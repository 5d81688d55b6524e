"""Uploads to a real nginx (WebDAV's PUT): that our own server and our own client agree proves little."""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from nginx import Nginx

from asyncwds import Http, Retry
from asyncwds.errors import FetchError
from asyncwds.runtime import BlockingPool, MiB
from asyncwds.settings import Access
from asyncwds.storage import HttpSink, Upload
from asyncwds.testing import leaks

DATA = os.urandom(7 * MiB + 5)
QUICK = Retry(tries=3, backoff=0.01, backoff_max=0.1)


@pytest.fixture
def name() -> str:
    return f"{uuid.uuid4().hex}.tar"


@asynccontextmanager
async def opened(url: str, http: Http | None = None) -> AsyncIterator[Upload]:
    async with leaks():
        with BlockingPool("test") as thread:
            sink = HttpSink(Access(http or Http(), QUICK), thread)
            try:
                upload = await sink.open(url)
                try:
                    yield upload
                finally:
                    await upload.abort()
            finally:
                await sink.aclose()


async def send(url: str, data: bytes, http: Http | None = None) -> None:
    async with opened(url, http) as upload:
        for start in range(0, len(data), MiB):
            await upload.write(data[start : start + MiB])
        await upload.commit()


@pytest.mark.parametrize("size", [0, 10, MiB, len(DATA)])
async def test_an_object_arrives(nginx: Nginx, name: str, size: int) -> None:
    await send(nginx.url("writable", name), DATA[:size])
    assert (nginx.files / name).read_bytes() == DATA[:size]
    await send(nginx.url("writable", name), b"newer")
    assert (nginx.files / name).read_bytes() == b"newer"


async def test_over_tls(nginx: Nginx, name: str) -> None:
    await send(nginx.tls_url("writable", name), DATA, Http(ca_file=nginx.ca_file))
    assert (nginx.files / name).read_bytes() == DATA
    with pytest.raises(FetchError, match="certificate cannot be trusted"):
        await send(nginx.tls_url("writable", f"{name}.2"), DATA)


async def test_folders_are_made(nginx: Nginx, name: str) -> None:
    await send(nginx.url("writable", f"new-{name}/a b.tar"), DATA)
    assert (nginx.files / f"new-{name}" / "a b.tar").read_bytes() == DATA


async def test_aborted_nothing_is_visible(nginx: Nginx, name: str) -> None:
    async with opened(nginx.url("writable", name)) as upload:
        for start in range(0, len(DATA), MiB):
            await upload.write(DATA[start : start + MiB])
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    assert not (nginx.files / name).exists()


@pytest.mark.parametrize(("location", "status"), [("plain", 405), ("writable-1m", 413)])
async def test_a_refusal_names_its_status(nginx: Nginx, name: str, location: str, status: int) -> None:
    with pytest.raises(FetchError) as caught:
        await send(nginx.url(location, name), DATA)
    assert caught.value.status == status
    assert not (nginx.files / name).exists()


async def test_a_server_that_closes_without_an_answer(nginx: Nginx, name: str) -> None:
    with pytest.raises(FetchError) as caught:
        await send(nginx.url("closed", name), b"x")
    assert caught.value.attempts == 3
