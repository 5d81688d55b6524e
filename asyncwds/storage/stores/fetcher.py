"""Objects on web servers and in buckets: `HttpFetcher`. Imports aiohttp, so import it only when a URL needs it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from asyncwds.errors import ThrottledError, WdsError
from asyncwds.runtime.counters import Counters
from asyncwds.settings.access import Access
from asyncwds.storage.base import AcceptsHints, ObjectRange
from asyncwds.storage.http.body import HttpBody
from asyncwds.storage.http.exchange import Exchange
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

    def __init__(self, access: Access, counters: Counters, make_store: Callable[[Transport], ObjectStore] = WebStore) -> None:
        self._transport = Transport(access, counters, logins=make_store is WebStore)
        self.store = make_store(self._transport)

    def open(self, wanted: ObjectRange, *, buffer: memoryview | None = None) -> HttpRead:
        return HttpRead(self._transport, self.store, wanted, buffer)

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


class HttpRead:
    """One range that is asked for, and read while the context is entered."""

    __slots__ = ("_body", "_buffer", "_store", "_transport", "_wanted")
    _body: HttpBody

    def __init__(self, transport: Transport, store: ObjectStore, wanted: ObjectRange, buffer: memoryview | None) -> None:
        self._transport = transport
        self._store = store
        self._wanted = wanted
        self._buffer = buffer

    async def __aenter__(self) -> HttpBody:
        wanted, transport = self._wanted, self._transport
        began = time.monotonic()
        request = StoreRequest("GET", wanted.url, range_headers(wanted), offset=wanted.start)
        try:
            exchange = await transport.send(self._store, request)
            try:
                self._body = HttpBody(wanted, exchange, self._check(request, exchange, began), transport, self._buffer)
            except BaseException:
                exchange.close()
                raise
        except WdsError as error:
            transport.counters.throttled += isinstance(error, ThrottledError)
            raise
        except FOREIGN as error:
            raise translate(error, wanted.url, wanted.start) from error
        return self._body

    async def __aexit__(self, *_: object) -> None:
        self._body.close()

    def _check(self, request: StoreRequest, exchange: Exchange, began: float) -> Promise:
        wanted, response = self._wanted, exchange.response
        metadata = self._store.metadata(exchange.signed, response.headers)
        if response.status in _GOOD:
            self._transport.counters.first_bytes.append(time.monotonic() - began)
            return check_answer(wanted, response.status, response.headers, metadata)
        if response.status == 416:
            return check_unsatisfied(wanted, response.headers, response.page, metadata)
        error = self._store.error_for(request, response)
        if error.retryable:
            self._transport.look_up_again(exchange.http.url)
        raise error
