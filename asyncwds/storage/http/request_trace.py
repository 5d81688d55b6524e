"""Requests in a trace."""

from __future__ import annotations

import aiohttp
from yarl import URL

from asyncwds.errors import redact
from asyncwds.runtime.recorder import Recorder, Span
from asyncwds.storage.object_store import StoreRequest


def begin_request(trace: Recorder, request: StoreRequest, hop: URL) -> Span:
    """From now until all is closed that was opened, the body above all."""
    return trace.begin("request", request.method, url=redact(str(hop)), range=request.headers.get("Range", ""))


def note_answer(span: Span, http: aiohttp.ClientResponse) -> None:
    """`connection` is the local port: the same one is the same connection. One that is free again already is not known."""
    span.inner("first byte", span.began)
    span.args["status"] = http.status
    transport = http.connection and http.connection.transport
    if transport is not None and (address := transport.get_extra_info("sockname")):
        span.args["connection"] = address[1] if isinstance(address, tuple) else str(address)
