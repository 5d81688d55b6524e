"""Objects on web servers and in buckets, listed: `StoreLister`. Imports aiohttp, so import it only when a URL needs it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from asyncwds.runtime.counters import Counters
from asyncwds.settings.access import Access
from asyncwds.storage.http.transport import Transport
from asyncwds.storage.object_store import Lister
from asyncwds.storage.stores.web.store import WebStore


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
