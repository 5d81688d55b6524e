"""Objects in buckets, written: `BucketSink`. Imports aiohttp, so import it only when a URL needs it."""

from __future__ import annotations

from collections.abc import Callable

from asyncwds.errors import SpecError
from asyncwds.runtime.stats import Counters
from asyncwds.settings.http import Http
from asyncwds.settings.retry import Retry
from asyncwds.storage.http.transport import Transport
from asyncwds.storage.object_store import ObjectStore, WritableStore
from asyncwds.storage.sink import Upload


class BucketSink:
    """Uploads to a store that `make_store` makes."""

    def __init__(self, http: Http, retry: Retry, make_store: Callable[[Transport], ObjectStore]) -> None:
        self._transport = Transport(http, retry, Counters(), logins=False)
        self._site = make_store(self._transport)

    async def open(self, url: str) -> Upload:
        if not isinstance(self._site, WritableStore):
            raise SpecError("nothing writes to urls of this scheme", url=url)
        return self._site.upload(url)

    async def aclose(self) -> None:
        try:
            await self._site.aclose()
        finally:
            await self._transport.aclose()
