"""Objects on web servers, written with PUT: `HttpSink`. Imports aiohttp, so import it only when a URL needs it."""

from __future__ import annotations

import asyncio
import weakref
from typing import Any

from asyncwds.errors import FetchError
from asyncwds.runtime.blocking import BlockingPool
from asyncwds.runtime.counters import Counters
from asyncwds.settings.access import Access
from asyncwds.storage.http.request_options import http_url
from asyncwds.storage.http.transport import Transport
from asyncwds.storage.local.spool import Spool
from asyncwds.storage.object_store import StoreRequest
from asyncwds.storage.stores.api_client import ApiClient
from asyncwds.storage.stores.web.store import WebStore

# What servers say to a body without a length, besides breaking off; S3 says 501.
_WANTS_LENGTH = frozenset({400, 411, 501})


class HttpSink:
    """Uploads with PUT. `thread` has a single thread, for the temporary files."""

    def __init__(self, access: Access, thread: BlockingPool) -> None:
        # An upload is long, and what a kept connection saves is not worth the uploads that find it closed.
        self._transport = Transport(access, Counters(), keep_alive=False)
        self._api = ApiClient(self._transport, WebStore(self._transport))
        self._thread = thread

    async def open(self, url: str) -> HttpUpload:
        http_url(url)  # an error now, not after a whole shard was written
        return HttpUpload(self._api, url, Spool(url, self._thread))

    async def aclose(self) -> None:
        await self._transport.aclose()


class HttpUpload:
    """One object. It goes out while it is written, as a chunked body, from a temporary file that grows meanwhile.

    Should that fail, or should it be so small that it is complete before it began, it is sent with its length when all of it is
    there, as often as `Retry` allows: PUT is idempotent.
    """

    def __init__(self, api: ApiClient, url: str, spool: Spool) -> None:
        self._api = api
        self._url = url
        self._spool = spool
        self._early: asyncio.Task[None] | None = None
        self._dropped: weakref.finalize[..., Any] | None = None

    async def write(self, data: bytes) -> None:
        if self._spool.size and self._early is None:
            self._early = asyncio.create_task(_put_early(self._api, self._url, self._spool))
            self._dropped = weakref.finalize(self, _cancel, self._early)
            self._dropped.atexit = False
        await self._spool.append(data)
        if self._early is not None and self._early.done():
            self._check(self._early)

    async def commit(self) -> None:
        self._spool.finish()
        request = StoreRequest("PUT", self._url, source=self._spool)
        try:
            await (self._api.attempt(request) if self._early is None else self._early)
        except FetchError as error:
            await self._api.send_again(request, error)
        self._end()

    async def abort(self) -> None:
        if self._early is not None:
            self._early.cancel()
            await asyncio.wait([self._early])
            if not self._early.cancelled():
                self._early.exception()  # is known, or does not matter any more
        self._end()

    def _end(self) -> None:
        if self._dropped is not None:
            self._dropped.detach()  # it holds the task, whose error may hold this
        self._spool.close()

    def _check(self, early: asyncio.Task[None]) -> None:
        """Raises what the first attempt ended with, if another one would end in the same way."""
        error = early.exception()
        if error is not None and not (isinstance(error, FetchError) and error.retryable):
            raise error


async def _put_early(api: ApiClient, url: str, spool: Spool) -> None:
    """One attempt, without a length if the body is not finished yet. Raises FetchError.

    There is no `Expect: 100-continue`: aiohttp would wait for ever for servers that don't know it, and a refusal is seen
    while the body goes out.
    """
    chunked = not spool.finished
    try:
        await api.attempt(StoreRequest("PUT", url, source=spool))
    except FetchError as error:
        error.retryable |= chunked and error.status in _WANTS_LENGTH
        raise


def _cancel(early: asyncio.Task[None]) -> None:
    # Of an upload that nobody holds any more, on whatever thread that is found.
    if not early.get_loop().is_closed():
        early.get_loop().call_soon_threadsafe(early.cancel)
