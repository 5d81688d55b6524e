"""A request and its answer: `Exchange`; and what is good, what redirects, and what is read of all else. Imports aiohttp."""

from __future__ import annotations

from contextlib import suppress

import aiohttp

from asyncwds.runtime.recorder import Span
from asyncwds.runtime.units import KiB
from asyncwds.storage.http.connections import RequestSlot, hang_up
from asyncwds.storage.http.direct_receive import left_behind
from asyncwds.storage.object_store import SignedRequest, StoreRequest, StoreResponse

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
