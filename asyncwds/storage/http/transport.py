"""The one HTTP transport: `Transport` sends what stores sign, follows redirects, and has it signed anew. Imports aiohttp."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from copy import copy
from ipaddress import ip_address

import aiohttp
from yarl import URL

from asyncwds.errors import BridgeError, FetchError, FetchTimeoutError, WdsError, redact
from asyncwds.runtime.counters import Counters
from asyncwds.runtime.event_loop import Deadlines, TimeLimit
from asyncwds.runtime.worker_info import FORKS
from asyncwds.settings.access import Access
from asyncwds.storage.http.connections import Connector, RequestLimits, RequestSlot, close_session, hang_up
from asyncwds.storage.http.receive import READ_BUFFER, WITHOUT_BODY, Exchange, free, is_redirect, is_success, read_page
from asyncwds.storage.http.request_body import RequestBody, body_of
from asyncwds.storage.http.request_options import (
    RequestOptions,
    begin_request,
    http_url,
    note_answer,
    redirect_target,
    without_login,
)
from asyncwds.storage.http.translate import FOREIGN, translate
from asyncwds.storage.object_store import RejectedRequest, SignedRequest, Signer, StoreRequest, StoreResponse

MAX_REDIRECTS = 10
MAX_HEADER_BYTES = 65536  # of one header of an answer: the target of a redirect may have a token of some kilobytes
MAX_SIGNED = 3  # times that one request is signed: as it is, for the right region, with new credentials


class Transport:
    """Connections that are kept alive, as many as are asked for at once; unless `keep_alive`, each for one request.

    The session is made by the first request, on the running loop, and refuses to work in another process: sharing its sockets
    over a fork mixes up answers. `logins`: the logins of ~/.netrc are for this transport too.
    """

    def __init__(self, access: Access, counters: Counters, *, logins: bool = True, keep_alive: bool = True) -> None:
        http = access.http
        self.retry = access.retry
        self.counters = counters
        self.deadlines = Deadlines()
        self._options = RequestOptions(http, logins=logins)
        limited = http.connections_per_host is not None or http.requests_per_second is not None
        self._limits = RequestLimits(http.connections_per_host, http.requests_per_second) if limited else None
        self._keep_alive = keep_alive
        self._session: aiohttp.ClientSession | None = None
        self._forks = 0  # of the process that made the session

    async def send(self, signer: Signer, request: StoreRequest) -> Exchange:
        """Raises FetchError, but for no status of an answer."""
        signed = await _sign(signer, request, None)
        assert signed is not None
        exchange = await self._follow(signer, request, signed)
        for _ in range(MAX_SIGNED - 1):
            if is_success(request, exchange.response.status) or not signer.should_resign(exchange.response):
                break
            again = await _sign(signer, request, RejectedRequest(exchange.signed, exchange.response))
            if again is None:
                break
            exchange = await self._follow(signer, request, again)
        return exchange

    def look_up_again(self, hop: URL) -> None:
        """Drops the address of a server that failed: a bucket's name stands for many machines, and this one may be gone or slow."""
        connector = self._session.connector if self._session is not None else None
        if (
            isinstance(connector, aiohttp.TCPConnector)
            and hop.host is not None
            and hop.port is not None
            and not _is_address(hop.host)
        ):
            self.counters.lookups += 1
            connector.clear_dns_cache(hop.host, hop.port)

    async def aclose(self) -> None:
        if self._session is None or self._forks != FORKS.number:
            return  # after a fork the sockets belong to the parent, as does the loop that would have to close them
        session, self._session = self._session, None
        self.deadlines.close()
        await close_session(session)

    async def _follow(self, signer: Signer, request: StoreRequest, signed: SignedRequest) -> Exchange:
        hop = home = http_url(signed.url)
        for _ in range(MAX_REDIRECTS + 1):
            # What the store adds says who asks: it is for the host that the store names, wherever that redirects to.
            headers = signed.headers if hop is home or hop.origin() == home.origin() else request.headers
            exchange = await self._hop(request, signed, hop, headers)
            if not is_redirect(request, exchange.response.status) or signer.should_resign(exchange.response):
                return exchange
            hop = redirect_target(request.url, hop, exchange.response.headers.get("Location"))
        raise FetchError(f"more than {MAX_REDIRECTS} redirects", url=request.url)

    async def _hop(self, request: StoreRequest, signed: SignedRequest, hop: URL, headers: Mapping[str, str]) -> Exchange:
        """One request. What is no success has been read, and is closed: what follows may go to another host."""
        slot = None if self._limits is None else await self._wait_for_slot(self._limits, request, hop)
        span = None if self.counters.trace is None else begin_request(self.counters.trace, request, hop)
        try:
            http, page = await self._answer(request, hop, headers)
        except BaseException:
            free(slot, span)
            raise
        if span is not None:
            note_answer(span, http)
        exchange = Exchange(signed, http, StoreResponse(http.status, http.headers, page), slot, span)
        if not is_success(request, http.status):
            exchange.close()
        return exchange

    async def _wait_for_slot(self, limits: RequestLimits, request: StoreRequest, hop: URL) -> RequestSlot:
        slot = await limits.enter(None if request.source else f"{hop.host}:{hop.port}")
        self.counters.held_back += slot.waited
        return slot

    async def _answer(self, request: StoreRequest, hop: URL, headers: Mapping[str, str]) -> tuple[aiohttp.ClientResponse, bytes]:
        """The answer to one request, and its page unless the answer is good."""
        body = body_of(request, self.retry, self.deadlines) if request.source or request.body else None
        try:
            http, page = await self._attempt(request, hop, headers, body)
        except WdsError:
            raise
        except FOREIGN as error:
            if isinstance(error, (TimeoutError, aiohttp.ClientConnectionError)):
                self.look_up_again(hop)
            raise self._failure(error, request, hop, body) from error
        if body is not None and not body.is_given:
            hang_up(http)
            if is_success(request, http.status):
                message = "the server answered before it had the whole"
                raise FetchError(message, url=request.url, offset=request.offset + body.sent, retryable=True)
        return http, page

    async def _attempt(
        self, request: StoreRequest, hop: URL, headers: Mapping[str, str], body: RequestBody | None
    ) -> tuple[aiohttp.ClientResponse, bytes]:
        if body is None:
            with TimeLimit(self.deadlines, self._patience):
                return await self._ask(request, hop, headers, None)
        async with asyncio.timeout(None) as limit:
            with body.watch(limit):
                return await self._ask(request, hop, headers, body)

    async def _ask(
        self, request: StoreRequest, hop: URL, headers: Mapping[str, str], body: RequestBody | None
    ) -> tuple[aiohttp.ClientResponse, bytes]:
        http = await self._request(request, hop, headers, body)
        if body is None and is_success(request, http.status):
            return http, b""
        try:
            if body is not None:
                body.expect_page()
            return http, b"" if is_success(request, http.status) else await read_page(http)
        except BaseException:
            hang_up(http)
            raise

    async def _request(
        self, request: StoreRequest, hop: URL, headers: Mapping[str, str], body: RequestBody | None
    ) -> aiohttp.ClientResponse:
        session = self._ready()
        sent = self._options.headers(hop)
        sent.update(headers)
        if request.source is not None:
            sent.setdefault("Content-Type", "application/octet-stream")
        is_plain = request.method in WITHOUT_BODY
        if body is None and not is_plain:
            sent.setdefault("Content-Length", "0")
        elif body is not None and body.length is not None:
            sent.setdefault("Content-Length", str(body.length))
        proxy = self._options.proxy(hop)
        tls = self._options.tls if "https" in (hop.scheme, proxy and proxy.scheme) else True
        self.counters.requests += 1
        return await session.request(
            request.method,
            without_login(hop),
            data=body,
            headers=sent,
            skip_auto_headers=None if is_plain else ("Content-Type",),  # signatures would have to cover it
            allow_redirects=False,
            proxy=proxy,
            ssl=tls,
        )

    @property
    def _patience(self) -> float:
        """[s] for a connection and for the beginning of an answer."""
        return self.retry.connect_timeout + self.retry.stall_timeout

    def _failure(self, error: Exception, request: StoreRequest, hop: URL, body: RequestBody | None) -> FetchError:
        offset = request.offset + (0 if body is None else body.sent)
        if not isinstance(error, TimeoutError):
            return translate(error, request.url, offset)
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            message = f"no connection to {hop.host} within {self.retry.connect_timeout:g} s"
        elif body is None:
            message = f"no answer within {self._patience:g} s"
        else:
            message = "no answer to the upload" if body.is_sent else "the upload stalled"
        return FetchTimeoutError(message, url=request.url, offset=offset, retryable=True)

    def _ready(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._forks = FORKS.number
            self._session = aiohttp.ClientSession(
                connector=Connector(force_close=not self._keep_alive),
                timeout=aiohttp.ClientTimeout(connect=self.retry.connect_timeout),
                auto_decompress=False,
                read_bufsize=READ_BUFFER,
                max_line_size=MAX_HEADER_BYTES,
                max_field_size=MAX_HEADER_BYTES,
            )
        elif self._forks != FORKS.number:
            raise BridgeError(
                "these connections belong to the process that this one was forked from; make a new iterator or writer here"
            )
        return self._session


async def _sign(signer: Signer, request: StoreRequest, refused: RejectedRequest | None) -> SignedRequest | None:
    try:
        return await signer.sign(request, refused)
    except WdsError as error:
        if error.url is not None:
            raise
        # A copy: others may wait for the same credentials.
        about = copy(error)
        about.url = redact(request.url)
        raise about from error


def _is_address(host: str) -> bool:
    with suppress(ValueError):
        return bool(ip_address(host))
    return False
