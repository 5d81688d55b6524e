"""Uploads to a server that takes nothing: when they are given up, their sockets are closed."""

import asyncio
import gc
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest
import trustme

from asyncwds import Http
from asyncwds.runtime import BlockingPool, Counters, MiB
from asyncwds.settings import Access
from asyncwds.storage import HttpSink, StoreRequest, Transport, WebStore
from asyncwds.storage.http.connections import Connector
from asyncwds.testing import leaks


@pytest.fixture
def deaf() -> Iterator[tuple[str, Http]]:
    """The URL of a server that never takes anything: its system accepts the connections."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/a.tar", Http()


DEAF = """
import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1])
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
connections = []
while True:
    connections.append(context.wrap_socket(listener.accept()[0], server_side=True))
"""


@pytest.fixture
def deaf_with_tls(tmp_path: Path) -> Iterator[tuple[str, Http]]:
    """The same after the handshake; another process, so that its sockets are not ours."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "server.pem"))
    command = [sys.executable, "-c", DEAF, str(tmp_path / "server.pem")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield f"https://127.0.0.1:{process.stdout.readline().strip()}/a.tar", Http(ca_file=str(tmp_path / "ca.pem"))
        process.kill()


async def by_transport(url: str, http: Http) -> None:
    transport = Transport(Access(http), Counters())
    try:
        await transport.send(WebStore(transport), StoreRequest("PUT", url, body=bytes(16 * MiB)))
    finally:
        await transport.aclose()


async def by_sink(url: str, http: Http) -> None:
    with BlockingPool("test") as thread:
        sink = HttpSink(Access(http), thread)
        upload = await sink.open(url)
        try:
            await upload.write(bytes(16 * MiB))
            await upload.commit()
        finally:
            await upload.abort()
            await sink.aclose()


async def closed_connections() -> int:
    """How many connections are remembered that were closed by both sides."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1") as server:
        connector = Connector()
        async with aiohttp.ClientSession(connector=connector) as session:
            for _ in range(20):
                async with session.get(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"):
                    pass
            await asyncio.sleep(0.01)
            gc.collect()
            return len(connector._transports)


LOOPS: list[Callable[[], asyncio.AbstractEventLoop]] = [asyncio.new_event_loop]
with suppress(ImportError):
    import uvloop

    LOOPS.append(uvloop.new_event_loop)


@pytest.mark.parametrize("new_loop", LOOPS)
@pytest.mark.parametrize("upload", [by_transport, by_sink])
@pytest.mark.parametrize("server", ["deaf", "deaf_with_tls"])
def test_an_upload_that_is_given_up(
    request: pytest.FixtureRequest,
    server: str,
    upload: Callable[[str, Http], Awaitable[None]],
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    url, http = request.getfixturevalue(server)

    async def give_up() -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                await upload(url, http)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(asyncio.sleep(0))  # uvloop's first loop makes a pipe, which it keeps
    with leaks(), asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(give_up())


@pytest.mark.parametrize("new_loop", LOOPS)
def test_connections_that_are_closed_are_forgotten(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert runner.run(closed_connections()) <= 1
