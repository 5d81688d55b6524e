"""Bodies of requests, as a `FaultServer` reads them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

from asyncwds.testing.connection import Wire
from asyncwds.testing.content import Store
from asyncwds.testing.faults import Fault
from asyncwds.testing.replies import Reply, Request, reply_to


class Received:
    """The body of a request. `begun` is what has come of it along with the request's head."""

    def __init__(self, wire: Wire, request: Request, begun: bytes) -> None:
        self._wire = wire
        self._headers = request.headers
        self._buffer = begun

    @property
    def is_chunked(self) -> bool:
        return "chunked" in self._headers.get("transfer-encoding", "")

    async def read(self, until: int | None = None) -> bytes:
        """All of it, or about the first `until` bytes. Raises OSError if the client leaves before its end."""
        if self._headers.get("expect", "").lower() == "100-continue":
            await self._wire.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        found = bytearray()
        async for piece in self._chunks() if self.is_chunked else self._length(int(self._headers.get("content-length", 0))):
            found += piece
            if until is not None and len(found) >= until:
                break
        return bytes(found)

    async def _length(self, left: int) -> AsyncIterator[bytes]:
        while left:
            piece, self._buffer = self._buffer[:left], self._buffer[left:]
            left -= len(piece)
            yield piece
            if left:
                await self._more()

    async def _chunks(self) -> AsyncIterator[bytes]:
        while True:
            while b"\r\n" not in self._buffer:
                await self._more()
            head, _, self._buffer = self._buffer.partition(b"\r\n")
            size = int(head.partition(b";")[0], 16)
            async for piece in self._length(size):
                yield piece
            while len(self._buffer) < 2:
                await self._more()
            self._buffer = self._buffer[2:]
            if size == 0:
                return

    async def _more(self) -> None:
        data = await self._wire.receive()
        if not data:
            raise ConnectionResetError("the client left in the middle of a body")
        self._buffer += data


async def take_upload(wire: Wire, request: Request, begun: bytes, fault: Fault, store: Store) -> Reply | None:
    """Stores the body of a PUT, unless the fault is against it. Returns the reply; None where there is to be none."""
    if fault.close_without_answer:
        return None
    fault = replace(fault, headers={"Connection": "close", **fault.headers})
    body = Received(wire, request, begun)
    if fault.wants_length and body.is_chunked:
        return reply_to(request, None, replace(fault, status=411))
    if fault.early:
        return reply_to(request, None, fault)
    if fault.upload_reset_at is not None:
        await body.read(fault.upload_reset_at)
        await wire.reset()
        return None
    if fault.upload_stall_at is not None:
        await body.read(fault.upload_stall_at)
        await asyncio.Event().wait()
    data = await body.read()
    if fault.redirect_to is None and (fault.status or 201) < 300:
        store.put(request.name, data)
        fault = replace(fault, status=fault.status or 201, body=b"")
    return reply_to(request, None, fault)
