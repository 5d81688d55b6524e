"""An HTTP/1.1 server that misbehaves on demand, at an exact byte; without faults, a cloud bucket in a box."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Self
from urllib.parse import quote

from asyncwds.testing.connection import Pace, Wire, open_wire
from asyncwds.testing.content import FolderStore, MemoryStore, Store
from asyncwds.testing.fault_profile import FaultProfile
from asyncwds.testing.faults import ArmedFault, Fault
from asyncwds.testing.listener import Listener
from asyncwds.testing.replies import Reply, Request, parse_request, reply_to
from asyncwds.testing.server_counters import COUNTERS, ServerCounters
from asyncwds.testing.uploads import take_upload

_TOO_MANY = Fault(status=503, retry_after=0, body=b"<Error><Code>SlowDown</Code></Error>")


class FaultServer:
    """Serves objects over HTTP from a thread of its own: `with FaultServer({"a.tar": data}) as server: server.url("a.tar")`.

    objects             names → bytes, or a sequence of pieces (the same piece may stand there often); or a folder
    faults              misbehaviours; the first that applies to a request is what it meets. `add` more at any time
    first_byte_delay    time [s] before each answer
    bytes_per_second    cap [bytes/s] of each connection
    weather             what requests meet by chance, where no fault applies
    max_in_flight       requests beyond this many at once are answered 503 with the code SlowDown
    writable            PUT stores an object once all of it has come
    ssl_context         makes it an https server
    host, port          where it listens; port 0 takes a free one

    It knows ranges, `If-Match`, `If-Range`, 416, HEAD and keep-alive, and uploads with a length or chunked. `counters` and
    `requests` (the latest ones) tell what it was asked, the former also over HTTP, as JSON under the name `COUNTERS`. Leaving
    the context closes its connections and joins its thread.
    """

    def __init__(
        self,
        objects: Mapping[str, bytes | Sequence[bytes]] | str | os.PathLike[str],
        *,
        faults: Iterable[Fault] = (),
        first_byte_delay: float = 0.0,
        bytes_per_second: float | None = None,
        weather: FaultProfile | None = None,
        max_in_flight: int | None = None,
        writable: bool = False,
        ssl_context: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.counters = ServerCounters()
        self.requests: deque[Request] = deque(maxlen=10_000)
        self._store: Store = MemoryStore(objects) if isinstance(objects, Mapping) else FolderStore(objects)
        self._armed = [ArmedFault(fault) for fault in faults]
        self._delay = first_byte_delay
        self._rate = bytes_per_second
        self._weather = weather or FaultProfile()
        self._max_in_flight = max_in_flight
        self._writable = writable
        self._ssl = ssl_context
        self._listener = Listener(self._serve, host, port)

    def __enter__(self) -> Self:
        self._listener.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.stop()

    @property
    def host(self) -> str:
        return self._listener.host

    @property
    def port(self) -> int:
        return self._listener.port

    def url(self, name: str = "") -> str:
        """URL of the object `name`, or of the root."""
        return f"{'https' if self._ssl else 'http'}://{self.host}:{self.port}/{quote(name)}"

    def put(self, name: str, data: bytes | Sequence[bytes]) -> str:
        """Adds or replaces an object. Returns its URL."""
        self._store.put(name, data)
        return self.url(name)

    def get(self, name: str) -> bytes | None:
        """The object, or None."""
        content = self._store.find(name)
        if content is None:
            return None
        try:
            return bytes(content.read(0, content.size))
        finally:
            content.close()

    def add(self, *faults: Fault) -> None:
        """From the next request on, these faults too; older ones come first."""
        self._armed += [ArmedFault(fault) for fault in faults]

    def clear(self) -> None:
        """From the next request on, no faults."""
        self._armed = []

    async def _serve(self, sock: socket.socket) -> None:
        counters = self.counters
        counters.connections_made += 1
        counters.open_connections += 1
        counters.peak_connections = max(counters.peak_connections, counters.open_connections)
        try:
            with contextlib.suppress(OSError, ValueError):  # the client left, failed to shake hands, or sent nonsense
                wire = await open_wire(sock, self._ssl)
                try:
                    await self._talk(wire)
                finally:
                    await wire.close()
        finally:
            counters.open_connections -= 1

    async def _talk(self, wire: Wire) -> None:
        buffer = b""
        reused = False
        while True:
            while b"\r\n\r\n" not in buffer:
                data = await wire.receive()
                if not data:
                    return
                buffer += data
            head, _, buffer = buffer.partition(b"\r\n\r\n")
            request = parse_request(head)
            self.counters.in_flight += 1
            self.counters.peak_in_flight = max(self.counters.peak_in_flight, self.counters.in_flight)
            try:
                fault = self._meet(request, reused=reused)
                upload = self._writable and request.method == "PUT"
                keep = await (self._take(wire, request, buffer, fault) if upload else self._answer(wire, request, fault))
            finally:
                self.counters.in_flight -= 1
            if not keep or request.headers.get("connection") == "close":
                return
            reused = True

    def _meet(self, request: Request, *, reused: bool) -> Fault:
        if request.name == COUNTERS:
            return Fault()
        self.counters.requests += 1
        self.counters.by_path[request.name] += 1
        self.requests.append(request)
        if self._max_in_flight is not None and self.counters.in_flight > self._max_in_flight:
            return _TOO_MANY
        fault = next((armed.fault for armed in self._armed if armed.claims(request, reused=reused)), None)
        return fault or self._weather.fault(request)

    async def _answer(self, wire: Wire, request: Request, fault: Fault) -> bool:
        # True if the connection may be used again.
        if fault.close_without_answer:
            return False
        if fault.stall_headers:
            return await _hold(wire)
        if self._delay or fault.delay:
            await asyncio.sleep(self._delay + fault.delay)
        content = self._store.find(request.name)
        if request.name == COUNTERS:
            content = MemoryStore({COUNTERS: self.counters.as_json()}).find(COUNTERS)
        try:
            reply = reply_to(request, content, fault)
            await wire.send(reply.head())
            if request.method == "HEAD":
                return True
            return await self._send_body(wire, reply, fault)
        finally:
            if content is not None:
                content.close()

    async def _take(self, wire: Wire, request: Request, begun: bytes, fault: Fault) -> bool:
        reply = await take_upload(wire, request, begun, fault, self._store)
        if reply is None:
            return False
        if fault.stall_headers:
            return await _hold(wire)
        await asyncio.sleep(self._delay + fault.delay)
        await wire.send(reply.head())
        await self._send_body(wire, reply, fault)
        # A server that closes while a body is still coming resets the connection, and its answer may be lost.
        return await _hold(wire)

    async def _send_body(self, wire: Wire, reply: Reply, fault: Fault) -> bool:
        pace = Pace(fault.drip or self._rate)
        ends = [at for at in (fault.cut_at, fault.reset_at, fault.stall_at) if at is not None]
        limit = min([reply.length, *ends])
        for start, stop in pace.pieces(limit):
            await pace.wait(stop - start)
            await self._send_piece(wire, reply, start, stop)
        if fault.reset_at is not None:
            await wire.reset()
        elif fault.stall_at is not None:
            await _hold(wire)
        if ends:
            return False
        if reply.framing == "chunked":
            await wire.send(b"0\r\n\r\n")
        if fault.extra_bytes:
            await wire.send(bytes(fault.extra_bytes))
        return reply.framing != "close"

    async def _send_piece(self, wire: Wire, reply: Reply, start: int, stop: int) -> None:
        # Counted before, so that whoever has received bytes finds them counted.
        self.counters.bytes_sent += stop - start
        begin, end = reply.start + start, reply.start + stop
        if reply.framing == "chunked":
            await wire.send(b"%x\r\n" % (stop - start) + bytes(reply.content.read(begin, end)) + b"\r\n")
        elif reply.content.file is not None:
            await wire.send_file(reply.content.file, begin, end)
        else:
            await wire.send(reply.content.read(begin, end))


async def _hold(wire: Wire) -> bool:
    # Reading notices that the client leaves; what it says meanwhile goes unheard.
    while await wire.receive():
        pass
    return False
