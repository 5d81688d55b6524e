"""The one HTTP transport: `Transport` sends what stores sign, follows redirects, and has it signed anew. Imports aiohttp."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, suppress
from copy import copy
from ipaddress import ip_address

import aiohttp
from yarl import URL

from asyncwds.errors import BridgeError, FetchError, FetchTimeoutError, WdsError, redact
from asyncwds.runtime.stats import Counters
from asyncwds.runtime.units import KiB
from asyncwds.settings.http import Http
from asyncwds.settings.retry import Retry
from asyncwds.storage.http.body import hang_up
from asyncwds.storage.http.connections import Connector, close_session
from asyncwds.storage.http.direct_receive import READ_BUFFER, left_behind
from asyncwds.storage.http.limits import RequestLimits
from asyncwds.storage.http.request_options import RequestOptions, http_url, redirected, without_login
from asyncwds.storage.object_store import ObjectStore, RejectedRequest, SignedRequest, StoreRequest, StoreResponse

MAX_REDIRECTS = 10
MAX_SIGNED = 3  # times that one call is signed: as it is, for the right region, with new credentials
_PAGE_BYTES = 64 * KiB  # of an answer that carries no data: error codes stand at its beginning
_PIECE = 256 * KiB  # of a body that goes out
# The answer to an upload comes when the server has put it away, which takes longer than to find an object.
_UPLOAD_PATIENCE = 3  # times `stall_timeout`


class Transport:
    """Connections that are kept alive, as many as are asked for at once.

    The session is made by the first call, on the running loop, and refuses to work in another process: sharing its sockets
    over a fork mixes up answers. `logins`: the logins of ~/.netrc are for this transport too.
    """

    def __init__(self, http: Http, retry: Retry, counters: Counters, *, logins: bool = True) -> None:
        self.retry = retry
        self.counters = counters
        self._outgoing = RequestOptions(http, logins=logins)
        self._limits = RequestLimits(http.connections_per_host, http.requests_per_second)
        self._session: aiohttp.ClientSession | None = None
        self._pid = 0  # of the process that made the session

    async def answer(
        self, store: ObjectStore, call: StoreRequest, open_now: ExitStack
    ) -> tuple[aiohttp.ClientResponse, bytes, SignedRequest]:
        """The answer at the end of all redirects, its page unless it is a success (then the body is still to be read), its request.

        Whatever was opened on the way is closed by `open_now`. Raises FetchError, but for no status, and `FOREIGN`.
        """
        request = await _signed(store, call, None)
        assert request is not None
        response, page = await self._follow(store, call, request, open_now)
        for _ in range(MAX_SIGNED - 1):
            reply = StoreResponse(response.status, response.headers, page)
            if is_success(call, response.status) or not store.should_resign(reply):
                break
            again = await _signed(store, call, RejectedRequest(request, reply))
            if again is None:
                break
            request = again
            response, page = await self._follow(store, call, request, open_now)
        return response, page, request

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
        if self._session is None or self._pid != os.getpid():
            return  # after a fork the sockets belong to the parent, as does the loop that would have to close them
        session, self._session = self._session, None
        await close_session(session)

    async def _follow(
        self, store: ObjectStore, call: StoreRequest, request: SignedRequest, open_now: ExitStack
    ) -> tuple[aiohttp.ClientResponse, bytes]:
        hop = http_url(request.url)
        home = hop.origin()
        for _ in range(MAX_REDIRECTS + 1):
            # What the store adds says who asks: it is for the host that the store names, wherever that redirects to.
            response, page = await self._hop(call, hop, request.headers if hop.origin() == home else call.headers, open_now)
            if not is_redirect(call, response.status) or store.should_resign(
                StoreResponse(response.status, response.headers, page)
            ):
                return response, page
            hop = redirected(call.url, hop, response.headers.get("Location"))
        raise FetchError(f"more than {MAX_REDIRECTS} redirects", url=call.url)

    async def _hop(
        self, call: StoreRequest, hop: URL, headers: Mapping[str, str], open_now: ExitStack
    ) -> tuple[aiohttp.ClientResponse, bytes]:
        """One request: its answer, and its page unless the answer is good."""
        patience = self.retry.connect_timeout + self.retry.stall_timeout
        place = await self._limits.enter(f"{hop.host}:{hop.port}")
        self.counters.held_back += place.waited
        open_now.callback(place.leave)
        try:
            async with asyncio.timeout(patience) as limit:
                response = await self._send(call, hop, headers, limit)
                open_now.callback(hang_up, response)
                if is_success(call, response.status):
                    return response, b""
                page = await _page(response)
                place.leave()  # what follows may go to another host
                return response, page
        except aiohttp.ConnectionTimeoutError as error:
            self.look_up_again(hop)
            message = f"no connection to {hop.host} within {self.retry.connect_timeout:g} s"
            raise FetchTimeoutError(message, url=call.url, offset=call.offset, retryable=True) from error
        except TimeoutError as error:
            self.look_up_again(hop)
            message = "the upload stalled, or was not answered" if call.body else f"no answer within {patience:g} s"
            raise FetchTimeoutError(message, url=call.url, offset=call.offset, retryable=True) from error
        except aiohttp.ClientConnectionError:
            self.look_up_again(hop)
            raise

    async def _send(
        self, call: StoreRequest, hop: URL, headers: Mapping[str, str], limit: asyncio.Timeout
    ) -> aiohttp.ClientResponse:
        session = self._ready()
        sent = self._outgoing.headers(hop)
        sent.update(headers)
        proxy = self._outgoing.proxy(hop)
        tls = self._outgoing.tls if "https" in (hop.scheme, proxy and proxy.scheme) else True
        self.counters.requests += 1
        body = None
        if call.body or call.method not in ("GET", "HEAD"):
            sent.setdefault("Content-Length", str(len(call.body)))
            body = self._pieces(call.body, limit) if call.body else None
        return await session.request(
            call.method,
            without_login(hop),
            data=body,
            headers=sent,
            skip_auto_headers=("Content-Type",),  # signatures would have to cover it
            allow_redirects=False,
            proxy=proxy,
            ssl=tls,
        )

    async def _pieces(self, body: bytes, limit: asyncio.Timeout) -> AsyncIterator[memoryview]:
        """The body, with as much patience for each piece as for an answer."""
        whole = memoryview(body)
        for begin in range(0, len(whole), _PIECE):
            yield whole[begin : begin + _PIECE]
            _extend(limit, self.retry.stall_timeout)
        _extend(limit, _UPLOAD_PATIENCE * self.retry.stall_timeout)

    def _ready(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._pid = os.getpid()
            self._session = aiohttp.ClientSession(
                connector=Connector(),
                timeout=aiohttp.ClientTimeout(connect=self.retry.connect_timeout),
                auto_decompress=False,
                read_bufsize=READ_BUFFER,
            )
        elif self._pid != os.getpid():
            raise BridgeError("these connections belong to the process that this one was forked from; make a new iterator here")
        return self._session


async def _signed(store: ObjectStore, call: StoreRequest, refused: RejectedRequest | None) -> SignedRequest | None:
    try:
        return await store.sign(call, refused)
    except WdsError as error:
        if error.url is not None:
            raise
        # A copy: others may wait for the same credentials.
        about = copy(error)
        about.url = redact(call.url)
        raise about from error


def _is_address(host: str) -> bool:
    with suppress(ValueError):
        return bool(ip_address(host))
    return False


def is_success(call: StoreRequest, status: int) -> bool:
    return 200 <= status < 300 or (not call.follow and 300 <= status < 400)


def is_redirect(call: StoreRequest, status: int) -> bool:
    # 303 asks for a GET, which is not what an upload wants.
    return call.follow and (status in (301, 302, 307, 308) or (status == 303 and call.method in ("GET", "HEAD")))


def _extend(limit: asyncio.Timeout, seconds: float) -> None:
    with suppress(RuntimeError):  # it is over: an answer came before the body's end, or none in time
        limit.reschedule(asyncio.get_running_loop().time() + seconds)


async def _page(response: aiohttp.ClientResponse) -> bytes:
    """The beginning of a page that is no data. Read to its end it also leaves the connection free for the next request."""
    page = bytearray()
    with suppress(aiohttp.ClientError):  # the status says enough
        while len(page) < _PAGE_BYTES and (chunk := await response.content.readany()):
            page += chunk
    return bytes(page) + left_behind(response.content)
