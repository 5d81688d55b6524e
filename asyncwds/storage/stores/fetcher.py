"""Objects on web servers and in buckets, read and listed: `HttpFetcher` and `StoreLister`. Imports aiohttp, so import it only when
a URL needs it.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from typing import Self

from asyncwds.errors import FetchError, FetchTimeoutError, ShortBodyError, ThrottledError, WdsError
from asyncwds.runtime.counters import Counters
from asyncwds.settings.access import Access
from asyncwds.storage.base import AcceptsHints, Answer, Chunk, ObjectRange
from asyncwds.storage.http.connections import StallClock, hang_up
from asyncwds.storage.http.receive import Exchange, Receiver, left_behind, read_much, takes_over
from asyncwds.storage.http.translate import FOREIGN, translate
from asyncwds.storage.http.transport import Transport
from asyncwds.storage.layers.checksums import StatesChecksums
from asyncwds.storage.object_store import Lister, ObjectStore, StoreRequest
from asyncwds.storage.ranges import (
    ObjectMetadata,
    Promise,
    check_answer,
    check_unsatisfied,
    may_refuse_ranges,
    range_headers,
    whole_headers,
)
from asyncwds.storage.stores.web.store import WebStore

_GOOD = frozenset({200, 206})


class HttpFetcher:
    """Fetches with range requests, as many as are asked for at once. `make_store` makes what signs them.

    One answer per `open`, checked and never repeated: `Retrying` does that.
    """

    def __init__(self, access: Access, counters: Counters, make_store: Callable[[Transport], ObjectStore] = WebStore) -> None:
        self._transport = Transport(access, counters, logins=make_store is WebStore)
        self.store = make_store(self._transport)
        # Urls of which a range was given, and those of which ranges were refused and the whole was not. Buckets have ranges.
        self._has_ranges: dict[str, bool] | None = {} if make_store is WebStore else None

    def open(self, wanted: ObjectRange, *, buffer: memoryview | None = None) -> HttpRead:
        return HttpRead(self._transport, self.store, wanted, buffer, self._has_ranges)

    def foresees(self, url: str) -> bool:
        """As `asyncwds.storage.base.AcceptsHints`, by the store."""
        return isinstance(self.store, AcceptsHints) and self.store.foresees(url)

    def upcoming(self, urls: Sequence[str]) -> None:
        """As `asyncwds.storage.base.AcceptsHints`, by the store."""
        if isinstance(self.store, AcceptsHints):
            self.store.upcoming(urls)

    async def checksum(self, url: str) -> ObjectMetadata:
        """As `asyncwds.storage.layers.checksums.StatesChecksums`, by the store, which has to be one."""
        assert isinstance(self.store, StatesChecksums)
        return await self.store.checksum(url)

    async def aclose(self) -> None:
        try:
            await self.store.aclose()
        finally:
            await self._transport.aclose()


class HttpRead:
    """One range that is asked for, and read while the context is entered; the whole object where a web server refuses ranges."""

    __slots__ = ("_body", "_buffer", "_has_ranges", "_store", "_transport", "_wanted")
    _body: HttpBody

    def __init__(
        self,
        transport: Transport,
        store: ObjectStore,
        wanted: ObjectRange,
        buffer: memoryview | None,
        has_ranges: dict[str, bool] | None,
    ) -> None:
        self._transport = transport
        self._store = store
        self._wanted = wanted
        self._buffer = buffer
        self._has_ranges = has_ranges

    async def __aenter__(self) -> HttpBody:
        wanted, transport = self._wanted, self._transport
        try:
            if self._has_ranges is None:
                self._body = await self._ask(range_headers(wanted))
            elif self._has_ranges.get(wanted.url, True):
                self._body = await self._find_out(self._has_ranges)
            else:
                self._body = await self._ask(whole_headers(wanted))
        except WdsError as error:
            transport.counters.throttled += isinstance(error, ThrottledError)
            raise
        except FOREIGN as error:
            raise translate(error, wanted.url, wanted.start) from error
        return self._body

    async def _find_out(self, has_ranges: dict[str, bool]) -> HttpBody:
        """A range, or the whole object where the first range that is asked for is refused."""
        wanted = self._wanted
        try:
            body = await self._ask(range_headers(wanted), stated=True)
        except FetchError as error:
            if wanted.url in has_ranges or not may_refuse_ranges(error):
                raise
            refused = error.status
        else:
            if body.answer.ranged:
                has_ranges[wanted.url] = True
            return body
        try:
            body = await self._ask(whole_headers(wanted))
        except FetchError as error:
            error.message += f"; with a range it was answered by {refused}"
            raise
        has_ranges[wanted.url] = False
        return body

    async def _ask(self, headers: Mapping[str, str], *, stated: bool = False) -> HttpBody:
        """The answer to one request. `stated` as in `check_unsatisfied`."""
        wanted, began = self._wanted, time.monotonic()
        request = StoreRequest("GET", wanted.url, headers, offset=wanted.start)
        exchange = await self._transport.send(self._store, request)
        try:
            promise = self._check(request, exchange, began, stated=stated)
            return HttpBody(wanted, exchange, promise, self._transport, self._buffer)
        except BaseException:
            exchange.close()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._body.close()

    def _check(self, request: StoreRequest, exchange: Exchange, began: float, *, stated: bool) -> Promise:
        wanted, response = self._wanted, exchange.response
        metadata = self._store.metadata(exchange.signed, response.headers)
        if response.status in _GOOD:
            self._transport.counters.first_bytes.append(time.monotonic() - began)
            return check_answer(wanted, response.status, response.headers, metadata)
        if response.status == 416:
            return check_unsatisfied(wanted, response.headers, response.page, metadata, stated=stated)
        error = self._store.error_for(request, response)
        if error.retryable:
            self._transport.look_up_again(exchange.http.url)
        raise error


class HttpBody:
    """The bytes of one answer: ShortBodyError if they are fewer than promised; what is more is cut off.

    With a buffer, and where the end is known, it takes from aiohttp what that has read already and receives the rest itself.
    """

    def __init__(
        self, wanted: ObjectRange, exchange: Exchange, promise: Promise, transport: Transport, buffer: memoryview | None
    ) -> None:
        response = exchange.http
        self._wanted = wanted
        self._exchange = exchange
        self._transport = transport
        self._answer, self._end = promise
        self._position = promise.answer.start
        self._content = response.content
        self._chunked = "Transfer-Encoding" in response.headers
        self._connection = response.connection and response.connection.protocol
        self._clock = StallClock(transport.retry, partial(hang_up, response), transport.deadlines)
        self._unread = b""
        self._receiver: Receiver | None = None
        if buffer is not None and promise.answer.ranged and promise.end is not None:
            self._take_over(buffer[: promise.end - promise.answer.start])
        if self._receiver is None:
            read_much(response)

    @property
    def answer(self) -> Answer:
        return self._answer

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Chunk:
        if self._position == self._end:
            raise StopAsyncIteration
        self._clock.begin()
        try:
            chunk = await self._next()
        except FOREIGN as error:
            raise self._error_from(error) from error
        self._clock.end(len(chunk))
        if not chunk:
            self._check_end()
            raise StopAsyncIteration
        self._position += len(chunk)
        if self._end is not None and self._position > self._end:
            chunk = chunk[: self._end - self._position]
            self._position = self._end
        self._transport.counters.bytes += len(chunk)
        return chunk

    def close(self) -> None:
        self._clock.stop()
        if self._receiver is not None:
            self._receiver.close()
        self._exchange.close()

    async def _next(self) -> Chunk:
        if self._unread:
            unread, self._unread = self._unread, b""
            return unread
        if self._receiver is not None:
            return await self._receiver.next_piece()
        if left := left_behind(self._content):
            return left
        # What single recv() calls gave, 256 KiB at most, is passed on as it is: where several have come, readany() joins
        # them, for 5 % more CPU time. HTTP's own chunks may be tiny, so those are joined.
        return await self._content.readany() if self._chunked else (await self._content.readchunk())[0]

    def _take_over(self, buffer: memoryview) -> None:
        # At once, before the loop's next turn brings aiohttp more than it hands out in one go.
        if not self._content.is_eof() and self._content.exception() is None:
            self._unread = self._content.read_nowait()
            begin = len(self._unread)
            if begin < len(buffer) and takes_over(self._exchange.http, begin):
                self._receiver = Receiver(self._exchange.http, buffer[begin:])

    def _failed(self) -> None:
        self._transport.look_up_again(self._exchange.http.url)

    def _check_end(self) -> None:
        if self._clock.stalled:
            raise self._stall_error()
        if self._end is not None:
            message = f"the body ended {self._end - self._position} bytes early"
        # Where only the connection's end marks the body's end, aiohttp takes a reset for one as well.
        elif self._connection is not None and isinstance(self._connection.exception(), OSError):
            message = "the connection was reset before the body's end"
        else:
            return
        self._failed()
        raise ShortBodyError(message, url=self._wanted.url, offset=self._position, retryable=True)

    def _error_from(self, error: Exception) -> FetchError:
        if self._clock.stalled:
            return self._stall_error()
        self._failed()
        return translate(error, self._wanted.url, self._position)

    def _stall_error(self) -> FetchError:
        self._failed()
        message = f"the connection stalled for {self._clock.window:g} s"
        return FetchTimeoutError(message, url=self._wanted.url, offset=self._position, retryable=True)


class StoreLister:
    """Asks a store that `make_store` makes, over a transport of its own."""

    def __init__(self, access: Access, make_store: Callable[[Transport], Lister] = WebStore) -> None:
        self._transport = Transport(access, Counters(), logins=make_store is WebStore)
        self._store = make_store(self._transport)

    def list(self, prefix: str, *, deep: bool) -> AsyncIterator[str]:
        return self._store.list(prefix, deep=deep)

    async def aclose(self) -> None:
        try:
            await self._store.aclose()
        finally:
            await self._transport.aclose()
