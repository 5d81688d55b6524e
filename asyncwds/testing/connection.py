"""One connection as a server sees it, plain or TLS, down to resets; and the clock that caps its rate."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import socket
import ssl
import struct
import termios
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import BinaryIO, Protocol

from asyncwds.testing.content import Buffer

RECEIVE = 1 << 16
Clock = Callable[[], float]
Sleep = Callable[[float], Awaitable[None]]
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: close() sends RST


class Wire(Protocol):
    """A connection. Methods raise OSError when the peer has gone."""

    async def receive(self) -> bytes:
        """What has come, or b"" when the peer will send no more."""
        ...

    async def send(self, data: Buffer) -> None: ...

    async def send_file(self, file: BinaryIO, start: int, stop: int) -> None:
        """Sends bytes [start, stop) of `file`."""
        ...

    async def reset(self) -> None:
        """Ends the connection with RST, after everything sent has arrived."""
        ...

    async def close(self) -> None:
        """Ends the connection after everything sent."""
        ...


class PlainWire:
    """A TCP connection on the raw socket: views are sent without a copy, files by sendfile.

    Measured on loopback [CPU-s/GB of the sender]: sendfile 0.14, a mapped file 0.4, reading and sending 0.7.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._loop = asyncio.get_running_loop()

    async def receive(self) -> bytes:
        return await self._loop.sock_recv(self._sock, RECEIVE)

    async def send(self, data: Buffer) -> None:
        await self._loop.sock_sendall(self._sock, data)

    async def send_file(self, file: BinaryIO, start: int, stop: int) -> None:
        await self._loop.sock_sendfile(self._sock, file, start, stop - start)

    async def reset(self) -> None:
        await _acknowledged(self._sock.fileno())
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._sock.close()

    async def close(self) -> None:
        self._sock.close()


class TlsWire:
    """A TLS connection on asyncio streams."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def receive(self) -> bytes:
        return await self._reader.read(RECEIVE)

    async def send(self, data: Buffer) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def send_file(self, file: BinaryIO, start: int, stop: int) -> None:
        await self.send(os.pread(file.fileno(), stop - start, start))

    async def reset(self) -> None:
        sock = self._writer.get_extra_info("socket")
        await _acknowledged(sock.fileno())
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._writer.transport.abort()

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


async def open_wire(sock: socket.socket, context: ssl.SSLContext | None) -> Wire:
    """A wire on an accepted socket, which it owns from now on. Raises OSError if the TLS handshake fails."""
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if context is None:
        return PlainWire(sock)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    transport, _ = await loop.connect_accepted_socket(lambda: protocol, sock, ssl=context, ssl_shutdown_timeout=0.5)
    return TlsWire(reader, asyncio.StreamWriter(transport, protocol, reader, loop))


async def _acknowledged(descriptor: int, patience: float = 2.0) -> None:
    # RST throws away what the kernel has not sent yet, and the fault would come at a random byte.
    deadline = asyncio.get_running_loop().time() + patience
    while asyncio.get_running_loop().time() < deadline:
        if not int.from_bytes(fcntl.ioctl(descriptor, termios.TIOCOUTQ, bytes(4)), "little"):
            return
        await asyncio.sleep(0.001)


class Pace:
    """Caps a rate [bytes/s]: a token clock. Each piece is due at an absolute time, so late wake-ups don't add up.

    The kernel's own cap (SO_MAX_PACING_RATE) was tried on loopback: 36 instead of 40 MB/s with one connection, 28 with 16.
    """

    def __init__(self, rate: float | None, *, clock: Clock = time.monotonic, sleep: Sleep = asyncio.sleep) -> None:
        self._rate = rate
        self._clock = clock
        self._sleep = sleep
        self._due = clock()
        # 80 pieces a second: 16 connections at 40 MB/s cost 1300 wake-ups/s, and a part of 8 MiB takes its time within 1 %.
        self._piece = 1 << 20 if rate is None else max(1, min(1 << 19, int(rate / 80)))
        self._first = self._piece if rate is None else max(1, int(rate / 1000))

    def pieces(self, size: int) -> Iterator[tuple[int, int]]:
        """A body of `size` [bytes] in pieces (start, stop): the first take a millisecond or two, as on a real link."""
        start, piece = 0, self._first
        while start < size:
            stop = min(size, start + piece)
            yield start, stop
            start, piece = stop, min(self._piece, 2 * piece)

    async def wait(self, size: int) -> None:
        """Returns when a piece of `size` [bytes] may have been sent."""
        if self._rate is None:
            return
        now = self._clock()
        # After a pause (the peer did not read) at most 50 ms are made up for, so that no burst goes beyond the cap.
        self._due = max(self._due, now - 0.05) + size / self._rate
        if self._due > now:
            await self._sleep(self._due - now)
