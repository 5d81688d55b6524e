"""A forward proxy: absolute-form requests for http, CONNECT for https (RFC 9110, 9112)."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Mapping
from typing import Self
from urllib.parse import urlsplit

from asyncwds.testing.connection import RECEIVE
from asyncwds.testing.listener import Listener
from asyncwds.testing.replies import Request, parse_request


class ForwardProxy:
    """Passes requests on, from a thread of its own: `with ForwardProxy() as proxy: Http(proxy=proxy.url)`.

    `requests` holds what it was asked for, in order; a CONNECT is one request, whatever goes through it. `hosts` says which
    "address:port" stands for a name of a host: so a server of the test's can play any host.
    """

    def __init__(self, host: str = "127.0.0.1", hosts: Mapping[str, str] | None = None) -> None:
        self.requests: list[Request] = []
        self._hosts = hosts or {}
        self._listener = Listener(self._serve, host, 0)

    def __enter__(self) -> Self:
        self._listener.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.stop()

    @property
    def url(self) -> str:
        return f"http://{self._listener.host}:{self._listener.port}"

    async def _serve(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        with contextlib.suppress(OSError, ValueError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_connection(sock=sock)
            try:
                head = (await reader.readuntil(b"\r\n\r\n"))[:-4]
                self.requests.append(parse_request(head))
                await self._pass_on(self.requests[-1], reader, writer)
            finally:
                writer.close()

    async def _pass_on(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tunnel = request.method == "CONNECT"
        parts = urlsplit(f"//{request.target}" if tunnel else request.target)
        host, port = parts.hostname or "", parts.port or (443 if tunnel else 80)
        if host in self._hosts:
            host, _, other = self._hosts[host].rpartition(":")
            port = int(other)
        up_reader, up_writer = await asyncio.open_connection(host, port)
        try:
            if tunnel:
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                up_writer.write(_origin_form(request))
            await _both_ways((reader, up_writer), (up_reader, writer))
        finally:
            up_writer.close()


def _origin_form(request: Request) -> bytes:
    parts = urlsplit(request.target)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    # One request for each connection: the next one might be for another server.
    headers = {name: value for name, value in request.headers.items() if not name.startswith("proxy-")} | {"connection": "close"}
    lines = [f"{request.method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1")


async def _both_ways(*ways: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
    # Ends when either side does: HTTP and TLS clients don't half-close.
    tasks = [asyncio.create_task(_pour(*way)) for way in ways]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(RECEIVE):
        writer.write(data)
        await writer.drain()
