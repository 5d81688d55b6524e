"""Objects on web servers, written with PUT: `HttpSink`. Imports aiohttp, so import it only when a URL needs it."""

from __future__ import annotations

import asyncio
import os
import weakref
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager, suppress
from typing import Self

import aiohttp
from yarl import URL

from asyncwds.errors import BridgeError, FetchError, FetchTimeoutError
from asyncwds.runtime.stats import Counters
from asyncwds.runtime.units import KiB
from asyncwds.settings.http import Http
from asyncwds.settings.retry import Retry
from asyncwds.storage.http.connections import Connector, close_session
from asyncwds.storage.http.direct_receive import left_behind
from asyncwds.storage.http.request_options import RequestOptions, http_url, redirected, without_login
from asyncwds.storage.http.stall import StallClock
from asyncwds.storage.http.translate import FOREIGN, error_for, translate
from asyncwds.storage.http.transport import MAX_REDIRECTS
from asyncwds.storage.layers.patience import Patience, Streak
from asyncwds.storage.local.spool import Spool

# Not 303, which asks for a GET.
_REDIRECTS = frozenset({301, 302, 307, 308})
# What servers say to a body without a length, besides breaking off; S3 says 501.
_WANTS_LENGTH = frozenset({400, 411, 501})
# An answer comes when the server has put the object away, which takes longer than to find one.
_ANSWER_PATIENCE = 3  # times `stall_timeout`
_PAGE_BYTES = 64 * KiB  # of an answer: error codes stand at its beginning


class HttpSink:
    """Uploads with PUT. `thread` is an executor with a single thread, for the temporary files."""

    def __init__(self, http: Http, retry: Retry, thread: Executor) -> None:
        self._outgoing = RequestOptions(http)
        self._retry = retry
        self._thread = thread
        self._patience = Patience(retry, Counters())
        self._session: aiohttp.ClientSession | None = None
        self._pid = 0  # of the process that made the session

    async def open(self, url: str) -> HttpUpload:
        http_url(url)  # an error now, not after a whole shard was written
        return HttpUpload(self, url, Spool(url, self._thread), self._patience)

    async def aclose(self) -> None:
        if self._session is None or self._pid != os.getpid():
            return
        session, self._session = self._session, None
        await close_session(session)

    async def put(self, url: str, spool: Spool) -> None:
        """One attempt, redirects followed. Its body has a length if the spool is finished by now, or else is chunked.

        There is no `Expect: 100-continue`: aiohttp would wait for ever for servers that don't know it, and a refusal is seen
        while the body goes out. Raises FetchError.
        """
        chunked = not spool.finished
        try:
            await self._put(url, spool)
        except FetchError as error:
            error.retryable |= chunked and error.status in _WANTS_LENGTH
            raise

    async def _put(self, url: str, spool: Spool) -> None:
        hop = http_url(url)
        for _ in range(MAX_REDIRECTS + 1):
            body = _Body(spool, self._retry)
            status, headers, page = await self._answer(url, hop, body)
            if 200 <= status < 300:
                if body.done:
                    return
                raise FetchError("the server answered before it had the whole", url=url, offset=body.sent, retryable=True)
            if status not in _REDIRECTS:
                raise error_for(url, body.sent, status, headers, page)
            hop = redirected(url, hop, headers.get("Location"))
        raise FetchError(f"more than {MAX_REDIRECTS} redirects", url=url)

    async def _answer(self, url: str, hop: URL, body: _Body) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers and beginning of the page that a request is answered with."""
        try:
            async with asyncio.timeout(None) as limit:
                with body.watched(limit):
                    response = await self._request(hop, body)
                    try:
                        limit.reschedule(asyncio.get_running_loop().time() + self._retry.stall_timeout)
                        return response.status, response.headers, await _page(response)
                    finally:
                        response.close()  # the connection is not used again, and a body that is still going out ends
        except aiohttp.ConnectionTimeoutError as error:
            message = f"no connection to {hop.host} within {self._retry.connect_timeout:g} s"
            raise FetchTimeoutError(message, url=url, retryable=True) from error
        except TimeoutError as error:
            what = "no answer to the upload" if body.done else "the upload stalled"
            raise FetchTimeoutError(what, url=url, offset=body.sent, retryable=True) from error
        except FOREIGN as error:
            raise translate(error, url, body.sent) from error

    async def _request(self, hop: URL, body: _Body) -> aiohttp.ClientResponse:
        headers = self._outgoing.headers(hop)
        headers.setdefault("Content-Type", "application/octet-stream")
        if body.length is not None:
            headers["Content-Length"] = str(body.length)
        proxy = self._outgoing.proxy(hop)
        tls = self._outgoing.tls if "https" in (hop.scheme, proxy and proxy.scheme) else True
        return await self._ready().put(without_login(hop), data=body, headers=headers, allow_redirects=False, proxy=proxy, ssl=tls)

    def _ready(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._pid = os.getpid()
            self._session = aiohttp.ClientSession(
                # An upload is long, and what a kept connection saves is not worth the uploads that find it closed.
                connector=Connector(force_close=True),
                timeout=aiohttp.ClientTimeout(connect=self._retry.connect_timeout),
                auto_decompress=False,
            )
        elif self._pid != os.getpid():
            raise BridgeError("these connections belong to the process that this one was forked from; make a new writer here")
        return self._session


class _Body:
    """The bytes of a spool, from beginning to end, as aiohttp asks for them; while it waits for the network a clock runs."""

    _clock: StallClock
    _limit: asyncio.Timeout

    def __init__(self, spool: Spool, retry: Retry) -> None:
        self.length = spool.size if spool.finished else None
        self.sent = 0
        self.done = False
        self._spool = spool
        self._retry = retry
        self._given = 0  # bytes that the network has not taken yet

    @contextmanager
    def watched(self, limit: asyncio.Timeout) -> Iterator[None]:
        """Within it, `limit` ends when the network takes too few bytes, or no answer comes after the last one."""
        self._limit = limit
        self._clock = StallClock(self._retry, lambda: self._expire(0))
        try:
            yield
        finally:
            self._clock.stop()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self._given:
            self._clock.end(self._given)
        self.sent += self._given
        piece = await self._spool.piece(self.sent)
        self._given = len(piece)
        if not piece:
            self.done = True
            self._expire(_ANSWER_PATIENCE * self._retry.stall_timeout)
            raise StopAsyncIteration
        self._clock.begin()
        return piece

    def _expire(self, seconds: float) -> None:
        if not self._limit.expired():
            self._limit.reschedule(asyncio.get_running_loop().time() + seconds)


class HttpUpload:
    """One object. It goes out while it is written, as a chunked body, from a temporary file that grows meanwhile.

    Should that fail, or should it be so small that it is complete before it began, it is sent with its length when all of it is
    there, as often as `Retry` allows: PUT is idempotent.
    """

    def __init__(self, sink: HttpSink, url: str, spool: Spool, patience: Patience) -> None:
        self._sink = sink
        self._url = url
        self._spool = spool
        self._patience = patience
        self._early: asyncio.Task[None] | None = None

    async def write(self, data: bytes) -> None:
        if self._spool.size and self._early is None:
            self._early = asyncio.create_task(self._sink.put(self._url, self._spool))
            weakref.finalize(self, _drop, self._early).atexit = False
        await self._spool.append(data)
        if self._early is not None and self._early.done():
            self._check(self._early)

    async def commit(self) -> None:
        self._spool.finish()
        try:
            await (self._put() if self._early is None else self._early)
        except FetchError as error:
            await self._patience.again(self._url, self._put, error, Streak())
        self._spool.close()

    async def abort(self) -> None:
        if self._early is not None:
            self._early.cancel()
            await asyncio.wait([self._early])
            if not self._early.cancelled():
                self._early.exception()  # is known, or does not matter any more
        self._spool.close()

    async def _put(self) -> None:
        await self._sink.put(self._url, self._spool)

    def _check(self, early: asyncio.Task[None]) -> None:
        """Raises what the first attempt ended with, if another one would end in the same way."""
        error = early.exception()
        if error is not None and not (isinstance(error, FetchError) and error.retryable):
            raise error


def _drop(early: asyncio.Task[None]) -> None:
    # Of an upload that nobody holds any more, on whatever thread that is found.
    if not early.get_loop().is_closed():
        early.get_loop().call_soon_threadsafe(early.cancel)


async def _page(response: aiohttp.ClientResponse) -> bytes:
    with suppress(aiohttp.ClientError):  # the status says enough
        return await response.content.read(_PAGE_BYTES)
    return left_behind(response.content)
