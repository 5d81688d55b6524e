"""Answers: `Exchange` is a request and its answer at the end of all redirects; `Receiver` receives the rest of a body straight into
memory: it takes the connection over from aiohttp, and gives it back. Imports aiohttp.

aiohttp makes each piece twice, as the loop reads it and as its parser passes it on, always in fresh memory. Of a body
with a known length nothing is left to be parsed: the socket can write into memory that is used again and again.
Measured, CPU-s/GB over loopback, 8 connections: 0.61 through aiohttp, 0.43 so (medians of 4, interleaved, 1 MiB at a time).

All that it touches of aiohttp and asyncio is public, but for `max_size`, without which it is a little slower. The connection
goes back to aiohttp's pool when the last byte is there; if bytes follow that nobody asked for, they come to aiohttp, which
drops the connection.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import aiohttp

from asyncwds.runtime.recorder import Span
from asyncwds.runtime.units import KiB, MiB
from asyncwds.storage.http.connections import RequestSlot, hang_up
from asyncwds.storage.object_store import SignedRequest, StoreRequest, StoreResponse

READ_BUFFER = 256 * KiB
"""aiohttp's `read_bufsize` [bytes]. With twice as much unread it pauses its parser, and may hold bytes back there."""
_ENOUGH = 256 * KiB  # [bytes] for which it is worth waking a task: 15 us
# [bytes] that one call may receive, so that a fast connection does not keep the loop: 1 ms. What comes at once is parsed and
# handed over at once, and each such round costs 100 µs beside the bytes themselves, which push everything else out of the
# processor's caches. Over loopback, 8 connections [CPU-s/GB]: 256 KiB 1.15, 1 MiB 0.81, 2 MiB 0.73, 4 MiB 0.66, 8 MiB 0.66.
_AT_ONCE = 4 * MiB
_FIRST_READ = 64 * KiB  # [bytes] of an answer that aiohttp may read before the connection is taken over
_LATER_READ = 256 * KiB  # [bytes] at a time of a body that it reads to the end; asyncio's own figure
_PATIENCE = 0.005  # [s] that fewer bytes wait for more to come


def takes_over(response: aiohttp.ClientResponse, unread: int) -> bool:
    """Whether the rest of a body may bypass aiohttp, when `unread` [bytes] of it have been taken from `content` at once."""
    transport = response.connection.transport if response.connection is not None else None
    return (
        transport is not None
        and not transport.is_closing()
        and unread < 2 * READ_BUFFER
        and "Transfer-Encoding" not in response.headers
    )


def left_behind(content: aiohttp.StreamReader) -> bytes:
    """What came before the connection ended: aiohttp gives out none of that once it knows of the end. b"" where nothing is left."""
    error = content.exception()
    if error is None:
        return b""
    # Nobody waits on it and its callbacks are gone, so that the error does no more than keep the bytes back.
    content.set_exception(None)  # type: ignore[arg-type]
    try:
        return content.read_nowait()
    finally:
        content.set_exception(error)


def _read_little(transport: asyncio.BaseTransport) -> None:
    """For the next answer of a connection that will be taken over again: what aiohttp reads of it is copied, in fresh memory.

    asyncio's transports read as much at a time as their undocumented `max_size` says; others, and TLS, have none. Measured
    over loopback, 8 connections, parts of 8 MiB: 6 % of the bytes came by way of aiohttp without it.
    """
    _read_at_once(transport, _FIRST_READ)


def read_much(response: aiohttp.ClientResponse) -> None:
    """For a body that aiohttp reads to its end."""
    if response.connection is not None and response.connection.transport is not None:
        _read_at_once(response.connection.transport, _LATER_READ)


def _read_at_once(transport: Any, size: int) -> None:
    if hasattr(transport, "max_size"):
        transport.max_size = size


class Receiver(asyncio.BufferedProtocol):
    """Fills `buffer`, which is as long as what is to come, and tells one waiting task."""

    def __init__(self, response: aiohttp.ClientResponse, buffer: memoryview) -> None:
        assert response.connection is not None
        assert response.connection.protocol is not None
        self._loop = asyncio.get_running_loop()
        self._content = response.content
        self._protocol = response.connection.protocol
        self._transport = response.connection.transport
        self._buffer = buffer
        self._filled = 0
        self._taken = 0
        self._lost = False
        self._error: Exception | None = None
        self._arrived: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        assert self._transport is not None
        self._transport.set_protocol(self)
        _read_little(self._transport)

    async def next_piece(self) -> memoryview:
        """The bytes that have come since the last call, as soon as there are enough; none once the connection has ended.

        Raises what ended the connection, if it was an error.
        """
        if self._filled - self._taken < _ENOUGH and self._filled < len(self._buffer) and not self._lost:
            self._arrived = self._loop.create_future()
            if self._filled > self._taken:
                self._wait_a_little()
            try:
                await self._arrived
            finally:
                self._arrived = None
        piece = self._buffer[self._taken : self._filled]
        self._taken = self._filled
        if not piece and self._error is not None:
            raise self._error
        return piece

    def close(self) -> None:
        """Gives the connection back as it is, if that has not happened."""
        self._stop_waiting()
        if self._transport is not None:
            self._transport.set_protocol(self._protocol)
            self._transport = None

    # -- called by the transport

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's interface
        return self._buffer[self._filled : self._filled + _AT_ONCE]

    def buffer_updated(self, nbytes: int) -> None:
        self._filled += nbytes
        if self._filled == len(self._buffer):
            self.close()
            self._content.feed_eof()  # upon which the response releases its connection
            self._wake()
        elif self._filled - self._taken >= _ENOUGH:
            self._wake()
        elif self._arrived is not None:
            self._wait_a_little()

    def eof_received(self) -> None:
        self._protocol.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost, self._error, self._transport = True, exc, None
        self._protocol.connection_lost(exc)
        self._wake()

    def pause_writing(self) -> None:
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._protocol.resume_writing()

    # -- waking

    def _wait_a_little(self) -> None:
        if self._timer is None:
            self._timer = self._loop.call_later(_PATIENCE, self._wake)

    def _wake(self) -> None:
        self._stop_waiting()
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


WITHOUT_BODY = frozenset({"GET", "HEAD"})
_PAGE_BYTES = 64 * KiB  # of an answer that carries no data: error codes stand at its beginning


class Exchange:
    """A request as it went out, and its answer at the end of all redirects. The body of a success is still to be read.

    Whoever sent it closes it; what is no success is closed already.
    """

    __slots__ = ("_slot", "_span", "http", "response", "signed")

    def __init__(
        self,
        signed: SignedRequest,
        http: aiohttp.ClientResponse,
        response: StoreResponse,
        slot: RequestSlot | None,
        span: Span | None,
    ) -> None:
        self.signed = signed
        self.http = http
        self.response = response
        self._slot = slot
        self._span = span

    def close(self) -> None:
        """Idempotent."""
        hang_up(self.http)
        free(self._slot, self._span)
        self._slot = self._span = None


def free(slot: RequestSlot | None, span: Span | None) -> None:
    if slot is not None:
        slot.leave()
    if span is not None:
        span.end()


def is_success(request: StoreRequest, status: int) -> bool:
    return 200 <= status < 300 or (not request.follow and 300 <= status < 400)


def is_redirect(request: StoreRequest, status: int) -> bool:
    # 303 asks for a GET, which is not what an upload wants.
    return request.follow and (status in (301, 302, 307, 308) or (status == 303 and request.method in WITHOUT_BODY))


async def read_page(http: aiohttp.ClientResponse) -> bytes:
    """The beginning of a page that is no data. Read to its end it also leaves the connection free for the next request."""
    page = bytearray()
    with suppress(aiohttp.ClientError):  # the status says enough
        while len(page) < _PAGE_BYTES and (chunk := await http.content.readany()):
            page += chunk
    return bytes(page) + left_behind(http.content)
