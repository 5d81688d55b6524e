"""Small requests to a store, made again where that may help: listings, and what an upload consists of. Imports aiohttp."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

from aiohttp import ClientResponse

from asyncwds.errors import WdsError
from asyncwds.runtime.completion import GIVING_UP
from asyncwds.storage.http.body import hang_up
from asyncwds.storage.http.stall import StallClock
from asyncwds.storage.http.translate import FOREIGN, translate
from asyncwds.storage.http.transport import Transport, is_success
from asyncwds.storage.layers.patience import Patience
from asyncwds.storage.object_store import ObjectStore, StoreRequest, StoreResponse


class ApiClient:
    """Replies are read whole: this is not for objects."""

    def __init__(self, transport: Transport, store: ObjectStore) -> None:
        self._transport = transport
        self._site = store
        self._patience = Patience(transport.retry, transport.counters)

    async def send(self, call: StoreRequest) -> StoreResponse:
        """The reply, if it is a success. Raises FetchError."""

        async def once() -> StoreResponse:
            return await self._once(call)

        # Nothing is deleted but what an upload that is given up has sent, and whoever gives it up waits for that.
        return await self._patience.call(call.url, once, GIVING_UP if call.method == "DELETE" else None)

    async def _once(self, call: StoreRequest) -> StoreResponse:
        with ExitStack() as open_now:
            try:
                response, page, _ = await self._transport.answer(self._site, call, open_now)
                if not is_success(call, response.status):
                    raise self._site.error_for(call, StoreResponse(response.status, response.headers, page))
                return StoreResponse(response.status, response.headers, await self._read(response, open_now))
            except WdsError:
                raise
            except FOREIGN as error:
                raise translate(error, call.url, call.offset) from error

    async def _read(self, response: ClientResponse, open_now: ExitStack) -> bytes:
        # Any byte is a sign of life: S3 sends blanks while it puts an object together.
        clock = StallClock(replace(self._transport.retry, stall_bytes=1), lambda: hang_up(response))
        open_now.callback(clock.stop)
        page = bytearray()
        clock.begin()
        async for chunk in response.content.iter_any():
            page += chunk
            clock.end(len(chunk))
            clock.begin()
        return bytes(page)
