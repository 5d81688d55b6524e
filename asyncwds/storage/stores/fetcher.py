"""Objects on web servers and in buckets: `HttpFetcher`. Imports aiohttp, so import it only when a URL needs it."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from functools import partial

import aiohttp

from asyncwds.errors import ThrottledError, WdsError
from asyncwds.runtime.counters import Counters
from asyncwds.settings.access import Http, Retry
from asyncwds.storage.base import AcceptsHints, ObjectRange
from asyncwds.storage.http.body import HttpBody
from asyncwds.storage.http.translate import FOREIGN, translate
from asyncwds.storage.http.transport import Transport
from asyncwds.storage.layers.stated_checksums import StatesChecksums
from asyncwds.storage.object_store import ObjectStore, StoreRequest
from asyncwds.storage.ranges import ObjectMetadata, Promise, check_answer, check_unsatisfied, range_headers
from asyncwds.storage.stores.web.store import WebStore

_GOOD = frozenset({200, 206})


class HttpFetcher:
    """Fetches with range requests, as many as are asked for at once. `make_store` makes what signs them.

    One answer per `open`, checked and never repeated: `Retrying` does that.
    """

    def __init__(
        self, http: Http, retry: Retry, counters: Counters, make_store: Callable[[Transport], ObjectStore] = WebStore
    ) -> None:
        self._transport = Transport(http, retry, counters, logins=make_store is WebStore)
        self.store = make_store(self._transport)
        self._retry = retry
        self._counters = counters

    @asynccontextmanager
    async def open(self, wanted: ObjectRange, *, buffer: memoryview | None = None) -> AsyncGenerator[HttpBody, None]:
        with ExitStack() as open_now:
            try:
                http, promise = await self._ask(wanted, open_now)
            except WdsError as error:
                self._counters.throttled += isinstance(error, ThrottledError)
                raise
            except FOREIGN as error:
                raise translate(error, wanted.url, wanted.start) from error
            failed = partial(self._transport.look_up_again, http.url)
            body = HttpBody(wanted, http, promise, self._retry, self._counters, buffer=buffer, failed=failed)
            open_now.callback(body.close)
            yield body

    def foresees(self, url: str) -> bool:
        """As `asyncwds.storage.base.AcceptsHints`, by the store."""
        return isinstance(self.store, AcceptsHints) and self.store.foresees(url)

    def upcoming(self, urls: Sequence[str]) -> None:
        """As `asyncwds.storage.base.AcceptsHints`, by the store."""
        if isinstance(self.store, AcceptsHints):
            self.store.upcoming(urls)

    async def checksum(self, url: str) -> ObjectMetadata:
        """As `asyncwds.storage.layers.stated_checksums.StatesChecksums`, by the store, which has to be one."""
        assert isinstance(self.store, StatesChecksums)
        return await self.store.checksum(url)

    async def aclose(self) -> None:
        try:
            await self.store.aclose()
        finally:
            await self._transport.aclose()

    async def _ask(self, wanted: ObjectRange, open_now: ExitStack) -> tuple[aiohttp.ClientResponse, Promise]:
        """The answer at the end of all redirects. Whatever was opened on the way is closed by `open_now`."""
        began = time.monotonic()
        request = StoreRequest("GET", wanted.url, range_headers(wanted), offset=wanted.start)
        signed, http, response = await self._transport.send(self.store, request, open_now)
        metadata = self.store.metadata(signed, response.headers)
        if response.status in _GOOD:
            self._counters.first_bytes.append(time.monotonic() - began)
            return http, check_answer(wanted, response.status, response.headers, metadata)
        if response.status == 416:
            return http, check_unsatisfied(wanted, response.headers, response.page, metadata)
        error = self.store.error_for(request, response)
        if error.retryable:
            self._transport.look_up_again(http.url)
        raise error
