"""The record of a store that signs requests for our transport and lists objects. aiohttp comes with the first use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from asyncwds.storage.object_store import Lister, ObjectStore, Uploader
from asyncwds.storage.scheme import Layers, Scheme

if TYPE_CHECKING:
    from asyncwds.runtime.blocking import BlockingPool
    from asyncwds.runtime.counters import Counters
    from asyncwds.settings.access import Access, Http
    from asyncwds.storage.base import Fetcher
    from asyncwds.storage.http.transport import Transport
    from asyncwds.storage.sink import Sink


class BucketStore(ObjectStore, Lister, Protocol):
    """What a bucket is; one that is written to is an `Uploader` too."""


IN_PARTS = Layers(hedge=True)


def bucket(
    *names: str,
    settings: Any,
    make_store: Callable[[Any, Transport], BucketStore],
    layers: Callable[[Any], Layers] = lambda _: IN_PARTS,
    http_for: Callable[[Any, Http], Http] = lambda _, http: http,
    is_writable: bool = True,
    has_query: bool = False,
) -> Scheme:
    """`make_store` imports what it needs; `http_for` is where the vendor's environment has a say in how requests are made."""

    def access_for(settings: Any, access: Access) -> Access:
        return replace(access, http=http_for(settings, access.http))

    def reader(settings: Any, access: Access, counters: Counters) -> Fetcher:
        from asyncwds.storage.stores.fetcher import HttpFetcher  # noqa: PLC0415 - it brings aiohttp, 150 ms

        return HttpFetcher(access_for(settings, access), counters, partial(make_store, settings))

    def writer(settings: Any, access: Access, thread: BlockingPool) -> Sink:
        from asyncwds.storage.stores.upload import BucketSink  # noqa: PLC0415 - as above

        del thread

        def make_uploader(transport: Transport) -> Uploader:
            store = make_store(settings, transport)
            assert isinstance(store, Uploader)
            return store

        return BucketSink(access_for(settings, access), make_uploader)

    def lister(settings: Any, access: Access) -> Lister:
        from asyncwds.storage.stores.fetcher import StoreLister  # noqa: PLC0415 - as above

        return StoreLister(access_for(settings, access), partial(make_store, settings))

    return Scheme(
        names=names,
        settings=settings,
        reader=reader,
        writer=writer if is_writable else None,
        lister=lister,
        layers=layers,
        has_query=has_query,
    )
