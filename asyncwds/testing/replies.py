"""What a request is answered with: plain functions from request, object and fault to a reply. RFC 9110, no I/O."""

from __future__ import annotations

import gzip
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Literal
from urllib.parse import unquote

from asyncwds.testing.content import Content, Pieces
from asyncwds.testing.faults import Fault

_RANGE = re.compile(r"bytes=(\d*)-(\d*)$")
_PAGE = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body><p>Please sign in.</p></body></html>"


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came. `target` is what stood in the first line, `headers` have lower-case names."""

    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def name(self) -> str:
        """Name of the object asked for."""
        return unquote(self.path.lstrip("/"))


@dataclass(frozen=True, slots=True)
class Reply:
    """A status line, headers, and bytes [start, stop) of `content` with their framing."""

    status: int
    headers: Mapping[str, str]
    content: Content
    start: int
    stop: int
    framing: Literal["length", "chunked", "close"] = "length"

    @property
    def length(self) -> int:
        return self.stop - self.start

    def head(self) -> bytes:
        reason = HTTPStatus(self.status).phrase if self.status in HTTPStatus._value2member_map_ else "Unknown"
        lines = [f"HTTP/1.1 {self.status} {reason}", *(f"{name}: {value}" for name, value in self.headers.items())]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


def parse_request(head: bytes) -> Request:
    """The request whose head, without its empty line, is `head`. Raises ValueError if it is none."""
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _version = first.split(" ")
    pairs = (line.partition(":") for line in lines)
    return Request(method, target, {name.strip().lower(): value.strip() for name, _, value in pairs})


def reply_to(request: Request, content: Content | None, fault: Fault) -> Reply:
    """The answer that `fault` lets out."""
    reply = _framed(_true_reply(request, content, fault), fault)
    replaced = {name.lower() for name in fault.headers}
    headers = {name: value for name, value in reply.headers.items() if name.lower() not in replaced}
    headers |= {name: value for name, value in fault.headers.items() if value is not None}
    return Reply(reply.status, headers, reply.content, reply.start, reply.stop, reply.framing)


def _true_reply(request: Request, content: Content | None, fault: Fault) -> Reply:
    if fault.redirect_to is not None:
        return _text(fault.status or 302, b"moved", {"Location": fault.redirect_to.replace("{path}", request.path)})
    if fault.html:
        return _text(200, _PAGE, {"Content-Type": "text/html; charset=utf-8"})
    if fault.body is not None or (fault.status or 0) >= 300:
        return _text(
            fault.status or 200, f"status {fault.status}\n".encode() if fault.body is None else fault.body, _retry_after(fault)
        )
    if request.method not in ("GET", "HEAD"):
        return _text(405, b"only GET and HEAD\n")
    if content is None:
        return _text(404, b"no such object\n")
    return _object(request, content, fault)


def _text(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> Reply:
    return Reply(status, {"Content-Type": "text/plain", **(headers or {})}, Pieces([body]), 0, len(body))


def _retry_after(fault: Fault) -> dict[str, str]:
    return {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}


def _object(request: Request, content: Content, fault: Fault) -> Reply:
    if fault.range_status is not None and "range" in request.headers:
        return _text(fault.range_status, b"no ranges here\n")
    etag = fault.etag or content.etag
    headers = {"ETag": etag, "Content-Type": "application/octet-stream"}
    if not fault.ignore_conditions and request.headers.get("if-match", etag) not in (etag, "*"):
        return _text(412, b"the object is another one\n")
    if fault.no_ranges or not _range_holds(request, etag, fault):
        return Reply(fault.status or 200, headers, content, 0, content.size)
    headers["Accept-Ranges"] = "bytes"
    span = asked_range(request.headers.get("range"), content.size)
    if span is None:
        return Reply(fault.status or 200, headers, content, 0, content.size)
    start, stop = (min(place + fault.wrong_range, content.size) for place in span)
    if start >= stop:
        return _text(416, b"no such range\n", {"Content-Range": f"bytes */{content.size}"})
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{content.size}"
    return Reply(fault.status or 206, headers, content, start, stop)


def _range_holds(request: Request, etag: str, fault: Fault) -> bool:
    return fault.ignore_conditions or request.headers.get("if-range", etag) == etag


def asked_range(header: str | None, size: int) -> tuple[int, int] | None:
    """[start, stop) that a `Range` header asks of an object; empty if it lies outside; None if there is no usable single range."""
    match = _RANGE.match(header or "")
    if match is None or match[0] == "bytes=-":
        return None
    first, last = match.groups()
    if not first:
        return max(0, size - int(last)), size
    if last and int(last) < int(first):
        return None
    return int(first), min(size, int(last) + 1) if last else size


def _framed(reply: Reply, fault: Fault) -> Reply:
    headers, content, start, stop = dict(reply.headers), reply.content, reply.start, reply.stop
    if fault.content_encoding is not None:
        headers["Content-Encoding"] = fault.content_encoding
        if fault.content_encoding == "gzip":
            content = Pieces([gzip.compress(content.read(start, stop), 1, mtime=0)])
            start, stop = 0, content.size
    if fault.chunked:
        headers["Transfer-Encoding"] = "chunked"
        return Reply(reply.status, headers, content, start, stop, "chunked")
    if fault.no_length:
        headers["Connection"] = "close"
        return Reply(reply.status, headers, content, start, stop, "close")
    headers["Content-Length"] = str(stop - start)
    return Reply(reply.status, headers, content, start, stop)
