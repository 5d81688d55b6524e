"""Objects in buckets, written: `BucketSink`. Imports aiohttp, so import it only when a URL needs it."""

from __future__ import annotations

from collections.abc import Callable

from asyncwds.runtime.counters import Counters
from asyncwds.settings.access import Access
from asyncwds.storage.http.transport import Transport
from asyncwds.storage.object_store import Uploader
from asyncwds.storage.sink import Upload


class BucketSink:
    """Uploads to a store that `make_store` makes."""

    def __init__(self, access: Access, make_store: Callable[[Transport], Uploader]) -> None:
        self._transport = Transport(access, Counters(), logins=False)
        self._store = make_store(self._transport)

    async def open(self, url: str) -> Upload:
        return self._store.upload(url)

    async def aclose(self) -> None:
        try:
            await self._store.aclose()
        finally:
            await self._transport.aclose()
