"""`http://` and `https://`."""

from __future__ import annotations

from asyncwds.runtime.blocking import BlockingPool
from asyncwds.runtime.counters import Counters
from asyncwds.settings.access import Access
from asyncwds.storage.base import Fetcher
from asyncwds.storage.object_store import Lister
from asyncwds.storage.scheme import Layers, Scheme
from asyncwds.storage.sink import Sink

_NO_MATCH = "; on web servers, wildcards need a page that lists the folder: if this one has none, name the shards: {000..099}"


def _reader(settings: None, access: Access, counters: Counters) -> Fetcher:
    from asyncwds.storage.stores.fetcher import HttpFetcher  # noqa: PLC0415 - it brings aiohttp, 150 ms

    del settings
    return HttpFetcher(access, counters)


def _writer(settings: None, access: Access, thread: BlockingPool) -> Sink:
    from asyncwds.storage.stores.web.upload import HttpSink  # noqa: PLC0415 - as above

    del settings
    return HttpSink(access, thread)


def _lister(settings: None, access: Access) -> Lister:
    from asyncwds.storage.stores.fetcher import StoreLister  # noqa: PLC0415 - as above

    del settings
    return StoreLister(access)


def _layers(settings: None) -> Layers:
    del settings
    return Layers(hedge=True)


SCHEMES = (
    Scheme(
        names=("http", "https"),
        reader=_reader,
        writer=_writer,
        lister=_lister,
        layers=_layers,
        has_query=True,
        escaped=True,
        no_match=_NO_MATCH,
    ),
)
