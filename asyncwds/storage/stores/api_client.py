"""Small requests to a store, made again where that may help: listings, and what an upload consists of. Imports aiohttp."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from asyncwds.errors import FetchError, WdsError
from asyncwds.runtime.event_loop import GIVING_UP
from asyncwds.storage.http.connections import StallClock, hang_up
from asyncwds.storage.http.receive import Exchange, is_success
from asyncwds.storage.http.translate import FOREIGN, translate
from asyncwds.storage.http.transport import Transport
from asyncwds.storage.layers.patience import Patience, Streak
from asyncwds.storage.object_store import Signer, StoreRequest, StoreResponse


class ApiClient:
    """Responses are read whole: this is not for objects."""

    def __init__(self, transport: Transport, signer: Signer) -> None:
        self._transport = transport
        self._signer = signer
        self._patience = Patience(transport.retry, transport.counters)

    async def send(self, request: StoreRequest) -> StoreResponse:
        """The response, if it is a success. Raises FetchError."""
        # Nothing is deleted but what an upload that is given up has sent, and whoever gives it up waits for that.
        limit = GIVING_UP if request.method == "DELETE" else None
        return await self._patience.call(request.url, partial(self.attempt, request), limit)

    async def send_again(self, request: StoreRequest, failed: FetchError) -> StoreResponse:
        """The same, after one attempt that `failed`."""
        return await self._patience.again(request.url, partial(self.attempt, request), failed, Streak())

    async def attempt(self, request: StoreRequest) -> StoreResponse:
        """The same with a single attempt."""
        try:
            exchange = await self._transport.send(self._signer, request)
            try:
                return await self._read(request, exchange)
            finally:
                exchange.close()
        except WdsError:
            raise
        except FOREIGN as error:
            raise translate(error, request.url, request.offset) from error

    async def _read(self, request: StoreRequest, exchange: Exchange) -> StoreResponse:
        response, http = exchange.response, exchange.http
        if not is_success(request, response.status):
            raise self._signer.error_for(request, response)
        # Any byte is a sign of life: S3 sends blanks while it puts an object together.
        clock = StallClock(replace(self._transport.retry, stall_bytes=1), lambda: hang_up(http), self._transport.deadlines)
        page = bytearray()
        try:
            clock.begin()
            async for chunk in http.content.iter_any():
                page += chunk
                clock.end(len(chunk))
                clock.begin()
        finally:
            clock.stop()
        return StoreResponse(response.status, response.headers, bytes(page))
