"""Uploads to a server that takes nothing: when they are given up, their sockets are closed."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

import pytest

from asyncwds.model import Http, MiB, Retry
from asyncwds.stats import Counters
from asyncwds.storage.http_sink import HttpSink
from asyncwds.storage.sites import Call
from asyncwds.storage.transport import Transport
from asyncwds.storage.web import Web
from asyncwds.testing import leaks


@pytest.fixture
def deaf() -> Iterator[str]:
    """The URL of a server that never takes anything: its system accepts the connections."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/a.tar"


async def by_transport(url: str) -> None:
    transport = Transport(Http(), Retry(), Counters())
    with ExitStack() as open_now:
        try:
            await transport.answer(Web(transport), Call("PUT", url, body=bytes(16 * MiB)), open_now)
        finally:
            await transport.aclose()


async def by_sink(url: str) -> None:
    with ThreadPoolExecutor(1) as thread:
        sink = HttpSink(Http(), Retry(), thread)
        upload = await sink.open(url)
        try:
            await upload.write(bytes(16 * MiB))
            await upload.commit()
        finally:
            await upload.abort()
            await sink.aclose()


LOOPS: list[Callable[[], asyncio.AbstractEventLoop]] = [asyncio.new_event_loop]
with suppress(ImportError):
    import uvloop

    LOOPS.append(uvloop.new_event_loop)


@pytest.mark.parametrize("new_loop", LOOPS)
@pytest.mark.parametrize("upload", [by_transport, by_sink])
def test_an_upload_that_is_given_up(
    deaf: str, upload: Callable[[str], Awaitable[None]], new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    async def give_up() -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                await upload(deaf)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(asyncio.sleep(0))  # uvloop's first loop makes a pipe, which it keeps
    with leaks(), asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(give_up())
