"""What a `FaultServer` does wrong, as plain data, and how often each fault was met."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncwds.testing.replies import Request


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One misbehaviour of a `FaultServer`, and the requests it applies to. Fields combine.

    Positions are bytes of this answer's body, framing not counted: with a range request, counted from the range's start.
    """

    path: str | None = None
    """Name of the object, as given to `FaultServer.url`; None applies to all."""

    times: int | None = None
    """How many requests it applies to before it is used up; None means all."""

    only_after_requests: int = 0
    """So many requests (to `path`) are let through before the first one it applies to."""

    every: int = 1
    """Applies to each n-th request only."""

    on_reuse: bool = False
    """Only requests that are not the first one of their connection."""

    delay: float = 0.0
    """Time [s] before the answer begins, on top of the server's `first_byte_delay`."""

    stall_headers: bool = False
    """Never answers; the connection stays open until the client leaves."""

    close_without_answer: bool = False
    """Closes the connection when it has read the request."""

    cut_at: int | None = None
    """Closes the connection cleanly after this byte; at or beyond the body's end right after it, without the last chunk."""

    reset_at: int | None = None
    """Resets the connection after this byte; the bytes before it have all arrived by then."""

    stall_at: int | None = None
    """Sends nothing more after this byte; the connection stays open until the client leaves."""

    drip: float | None = None
    """Rate [bytes/s] of the body in place of the server's."""

    extra_bytes: int = 0
    """So many zero bytes follow the body, beyond its announced length."""

    status: int | None = None
    """Status of the answer. From 300 on a short text takes the place of the object; below, the object is sent with it."""

    retry_after: float | str | None = None
    """The `Retry-After` header: [s], or text sent as it is, such as a date or nonsense."""

    redirect_to: str | None = None
    """Location of a redirect with `status` (302 if None); `{path}` stands for the path asked for, with its slash."""

    html: bool = False
    """An HTML page with status 200 in place of the object."""

    body: bytes | None = None
    """These bytes in place of the object, or as text of the error."""

    headers: Mapping[str, str | None] = field(default_factory=dict)
    """Headers of the answer that take the place of true ones; None leaves a header out."""

    no_ranges: bool = False
    """Range requests are answered with 200 and the whole object."""

    range_status: int | None = None
    """Status of the answer to requests with a range, whatever they ask for; those without one get the object."""

    wrong_range: int = 0
    """Answers with the range that is so many bytes further on, and says so in `Content-Range`."""

    no_length: bool = False
    """No `Content-Length`: the body ends where the connection is closed."""

    chunked: bool = False
    """`Transfer-Encoding: chunked` in place of `Content-Length`."""

    etag: str | None = None
    """The object's ETag, quotes included, from now on: `If-Match` and `If-Range` are compared with it."""

    ignore_conditions: bool = False
    """`If-Match` and `If-Range` are ignored, as some storage servers do."""

    content_encoding: str | None = None
    """`Content-Encoding` though nobody asked; for "gzip" the body really is compressed."""

    early: bool = False
    """Uploads: answers before the body is read."""

    wants_length: bool = False
    """Uploads: a body without `Content-Length` is answered 411, before it is read."""

    upload_reset_at: int | None = None
    """Uploads: resets the connection after this byte of the request's body."""

    upload_stall_at: int | None = None
    """Uploads: reads nothing more after this byte of the request's body, and keeps the connection until the server stops."""


@dataclass(slots=True)
class ArmedFault:
    """A fault and how often it was met."""

    fault: Fault
    met: int = 0
    applied: int = 0

    def claims(self, request: Request, *, reused: bool) -> bool:
        fault = self.fault
        if fault.path not in (None, request.name) or (fault.on_reuse and not reused):
            return False
        self.met += 1
        turn = self.met - fault.only_after_requests
        if turn < 1 or turn % fault.every or (fault.times is not None and self.applied >= fault.times):
            return False
        self.applied += 1
        return True
