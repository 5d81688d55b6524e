"""Objects on web servers: `HttpFetcher`, the one HTTP transport. Imports aiohttp, so import it only when a URL needs it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator
from contextlib import ExitStack, asynccontextmanager, suppress

import aiohttp
from yarl import URL

from asyncwds.errors import BridgeError, FetchError, FetchTimeoutError, ThrottledError, WdsError
from asyncwds.model import Http, KiB, Retry
from asyncwds.stats import Counters
from asyncwds.storage.http_body import HttpBody, hang_up
from asyncwds.storage.outgoing import Outgoing, http_url, redirected, without_login
from asyncwds.storage.ranges import Asked, Promise, promised, promised_nothing
from asyncwds.storage.receiving import READ_BUFFER
from asyncwds.storage.translate import FOREIGN, refusal, translate

MAX_REDIRECTS = 10
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_GOOD = frozenset({200, 206})
_PAGE_BYTES = 64 * KiB  # of an answer that carries no data: error codes stand at its beginning


class HttpFetcher:
    """Fetches with range requests over kept-alive connections, as many as are asked for at once.

    One answer per `open`, checked and never repeated: `Retrying` does that. The session is made by the first `open`, on
    the running loop, and refuses to work in another process: sharing its sockets over a fork mixes up answers.
    """

    def __init__(self, http: Http, retry: Retry, counters: Counters) -> None:
        self._outgoing = Outgoing(http)
        self._retry = retry
        self._counters = counters
        self._session: aiohttp.ClientSession | None = None
        self._pid = 0  # of the process that made the session

    @asynccontextmanager
    async def open(
        self,
        url: str,
        start: int = 0,
        stop: int | None = None,
        identity: str | None = None,
        *,
        buffer: memoryview | None = None,
    ) -> AsyncGenerator[HttpBody, None]:
        asked = Asked(url, start, stop, identity)
        with ExitStack() as open_now:
            try:
                response, promise = await self._ask(asked, open_now)
            except WdsError as error:
                self._counters.throttled += isinstance(error, ThrottledError)
                raise
            except FOREIGN as error:
                raise translate(error, url, start) from error
            body = HttpBody(asked, response, promise, self._retry, self._counters, buffer=buffer)
            open_now.callback(body.close)
            yield body

    async def aclose(self) -> None:
        if self._session is None or self._pid != os.getpid():
            return  # after a fork the sockets belong to the parent, as does the loop that would have to close them
        session, self._session = self._session, None
        await session.close()
        # Connections that were aborted a moment ago close their sockets in the loop's next turn.
        await asyncio.sleep(0)

    async def _ask(self, asked: Asked, open_now: ExitStack) -> tuple[aiohttp.ClientResponse, Promise]:
        """The answer at the end of all redirects. Whatever was opened on the way is closed by `open_now`."""
        began = time.monotonic()
        hop = http_url(asked.url)
        for _ in range(MAX_REDIRECTS + 1):
            response, page = await self._hop(asked, hop, open_now)
            if response.status in _GOOD:
                self._counters.first_bytes.append(time.monotonic() - began)
                return response, promised(asked, response.status, response.headers)
            if response.status == 416:
                return response, promised_nothing(asked, response.headers, page)
            if response.status not in _REDIRECTS:
                raise refusal(asked.url, asked.start, response.status, response.headers, page)
            hop = redirected(asked.url, hop, response.headers.get("Location"))
        raise FetchError(f"more than {MAX_REDIRECTS} redirects", url=asked.url)

    async def _hop(self, asked: Asked, hop: URL, open_now: ExitStack) -> tuple[aiohttp.ClientResponse, bytes]:
        """One request: its answer, and its page unless the answer is good."""
        patience = self._retry.connect_timeout + self._retry.stall_timeout
        try:
            async with asyncio.timeout(patience):
                response = await self._get(asked, hop)
                open_now.callback(hang_up, response)
                return response, b"" if response.status in _GOOD else await _page(response)
        except aiohttp.ConnectionTimeoutError as error:
            message = f"no connection to {hop.host} within {self._retry.connect_timeout:g} s"
            raise FetchTimeoutError(message, url=asked.url, offset=asked.start, retryable=True) from error
        except TimeoutError as error:
            message = f"no answer within {patience:g} s"
            raise FetchTimeoutError(message, url=asked.url, offset=asked.start, retryable=True) from error

    async def _get(self, asked: Asked, hop: URL) -> aiohttp.ClientResponse:
        session = self._ready()
        headers = self._outgoing.headers(hop)
        headers.update(asked.headers())
        proxy = self._outgoing.proxy(hop)
        tls = self._outgoing.tls if "https" in (hop.scheme, proxy and proxy.scheme) else True
        self._counters.requests += 1
        return await session.get(without_login(hop), headers=headers, allow_redirects=False, proxy=proxy, ssl=tls)

    def _ready(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._pid = os.getpid()
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),  # the scheduler limits them
                timeout=aiohttp.ClientTimeout(connect=self._retry.connect_timeout),
                auto_decompress=False,
                read_bufsize=READ_BUFFER,
            )
        elif self._pid != os.getpid():
            raise BridgeError("these connections belong to the process that this one was forked from; make a new iterator here")
        return self._session


async def _page(response: aiohttp.ClientResponse) -> bytes:
    """The beginning of a page that is no data. Read to its end it also leaves the connection free for the next request."""
    page = bytearray()
    with suppress(aiohttp.ClientError):  # the status says enough
        while len(page) < _PAGE_BYTES and (chunk := await response.content.readany()):
            page += chunk
    return bytes(page)
