"""Which fetcher reads which url."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import TYPE_CHECKING

from asyncwds.errors import SpecError
from asyncwds.runtime.security import refused, secure_mode
from asyncwds.runtime.stats import Counters
from asyncwds.settings.buckets import S3, AIStore, FileSystem
from asyncwds.settings.http import Http
from asyncwds.settings.retry import Retry
from asyncwds.shards.urls import scheme_of
from asyncwds.storage.base import Body, Fetcher
from asyncwds.storage.layers.checksum_fetcher import ChecksumFetcher
from asyncwds.storage.layers.hints import AcceptsHints
from asyncwds.storage.local.file import FileFetcher
from asyncwds.storage.local.pipe import PipeFetcher
from asyncwds.storage.local.stdin import StdinFetcher
from asyncwds.storage.schemes import (
    Settings,
    Storage,
    command_for,
    http_for,
    is_foreign,
    schemes,
    settings_for,
    store_maker,
    why_not,
)

if TYPE_CHECKING:
    from asyncwds.storage.object_store import ObjectStore

Maker = Callable[[Http, Retry, Counters], Fetcher]


def open_storage(http: Http, retry: Retry, counters: Counters, storage: Storage | None = None) -> Fetcher:
    """A fetcher for all urls that the library knows: those of buckets, http:, https:, file:, pipe:, plain paths, and - for stdin.

    For others, opening raises SpecError; so it does for local files and pipes where the environment has WDS_SECURE=1, and
    where the library of a bucket's vendor is not installed.
    """
    return _Storage(http, retry, counters, storage or {})


def knows(scheme: str) -> bool:
    """Whether there is a fetcher for a scheme: see `asyncwds.shards.urls.scheme_of`."""
    return scheme in _MAKERS or scheme in schemes() or is_foreign(scheme)


class _Storage:
    """Makes the fetcher for a scheme, or for settings, when the first such url is opened, and closes them all."""

    def __init__(self, http: Http, retry: Retry, counters: Counters, storage: Storage) -> None:
        self._arguments = (http, retry, counters)
        self._storage = storage
        self._fetchers: dict[Maker | int, Fetcher] = {}
        self._sites: dict[int, ObjectStore] = {}

    def open(
        self,
        url: str,
        start: int = 0,
        stop: int | None = None,
        identity: str | None = None,
        *,
        buffer: memoryview | None = None,
    ) -> AbstractAsyncContextManager[Body]:
        if reason := refused(scheme_of(url)):
            raise SpecError(f"{scheme_of(url)}: urls are not opened, because {reason}", url=url)
        settings = settings_for(url, self._storage)
        fetcher = self._by_scheme(url) if settings is None else self._by_settings(settings)
        return fetcher.open(url, start, stop, identity, buffer=buffer)

    def foresees(self, url: str) -> bool:
        """As `asyncwds.storage.layers.hints.AcceptsHints`."""
        settings = settings_for(url, self._storage)
        return isinstance(settings, AIStore) and self._foresighted(settings).foresees(url)

    def upcoming(self, urls: Sequence[str]) -> None:
        """As `asyncwds.storage.layers.hints.AcceptsHints`."""
        by_site: dict[AcceptsHints, list[str]] = {}
        for url in urls:
            settings = settings_for(url, self._storage)
            if isinstance(settings, AIStore):
                by_site.setdefault(self._foresighted(settings), []).append(url)
        for store, its_urls in by_site.items():
            store.upcoming(its_urls)

    async def aclose(self) -> None:
        async with AsyncExitStack() as all_of_them:
            for fetcher in self._fetchers.values():
                all_of_them.push_async_callback(fetcher.aclose)

    def _by_scheme(self, url: str) -> Fetcher:
        maker = _maker(url)
        if maker is _pipe and not command_for(url, self._storage).check:
            maker = _unchecked_pipe
        if maker not in self._fetchers:
            self._fetchers[maker] = maker(*self._arguments)
        return self._fetchers[maker]

    def _by_settings(self, settings: Settings) -> Fetcher:
        if id(settings) not in self._fetchers:
            if isinstance(settings, FileSystem):
                self._fetchers[id(settings)] = _file_system(settings, *self._arguments)
            else:
                self._fetchers[id(settings)], self._sites[id(settings)] = _bucket(settings, *self._arguments)
        return self._fetchers[id(settings)]

    def _foresighted(self, settings: Settings) -> AcceptsHints:
        self._by_settings(settings)
        store = self._sites[id(settings)]
        assert isinstance(store, AcceptsHints)
        return store


def _maker(url: str) -> Maker:
    scheme = scheme_of(url)
    if scheme not in _MAKERS:
        known = [*schemes(), *(known for known in _MAKERS if known != "-")]
        known_ones = ", ".join(f"{name}:" for name in known)
        raise SpecError(f"no storage for {scheme}: urls; there is {known_ones}{why_not(scheme)}", url=url)
    return _MAKERS[scheme]


def _http(http: Http, retry: Retry, counters: Counters) -> Fetcher:
    from asyncwds.storage.stores.fetcher import HttpFetcher  # noqa: PLC0415 - it brings aiohttp, 150 ms

    return _made_again(HttpFetcher(http, retry, counters), retry, counters)


def _bucket(settings: Settings, http: Http, retry: Retry, counters: Counters) -> tuple[Fetcher, ObjectStore]:
    from asyncwds.storage.stores.fetcher import HttpFetcher  # noqa: PLC0415 - as above

    bare = HttpFetcher(http_for(settings, http), retry, counters, store_maker(settings))
    fetcher = _made_again(bare, retry, counters)
    if isinstance(settings, AIStore):
        return ChecksumFetcher(fetcher, whole=settings.verify), bare.store
    if isinstance(settings, S3) and settings.verify:
        return _stated(fetcher, bare.store), bare.store
    return fetcher, bare.store


def _stated(fetcher: Fetcher, store: ObjectStore) -> Fetcher:
    from asyncwds.storage.layers.stated_checksums import StatedChecksums  # noqa: PLC0415 - as above
    from asyncwds.storage.stores.s3.store import S3Store  # noqa: PLC0415 - as above

    assert isinstance(store, S3Store)
    return StatedChecksums(fetcher, store.checksum)


def _file_system(settings: FileSystem, _http: Http, retry: Retry, counters: Counters) -> Fetcher:
    from asyncwds.storage.fsspec.store import FsspecFetcher  # noqa: PLC0415 - on first use, as all of them
    from asyncwds.storage.layers.retry import Retrying  # noqa: PLC0415 - as above

    if secure_mode():
        raise SpecError("fsspec is not used, because WDS_SECURE is set: it reads local files and runs commands too")
    return Retrying(FsspecFetcher(settings, counters), retry, counters)


def _made_again(fetcher: Fetcher, retry: Retry, counters: Counters) -> Fetcher:
    from asyncwds.storage.layers.hedge import Hedged  # noqa: PLC0415 - as above
    from asyncwds.storage.layers.retry import Retrying  # noqa: PLC0415 - as above

    return Retrying(Hedged(fetcher, retry, counters), retry, counters)


def _file(_http: Http, _retry: Retry, counters: Counters) -> Fetcher:
    return FileFetcher(counters)


def _pipe(_http: Http, _retry: Retry, counters: Counters) -> Fetcher:
    return PipeFetcher(counters)


def _unchecked_pipe(_http: Http, _retry: Retry, counters: Counters) -> Fetcher:
    return PipeFetcher(counters, check=False)


def _stdin(_http: Http, _retry: Retry, counters: Counters) -> Fetcher:
    return StdinFetcher(counters)


_MAKERS: dict[str, Maker] = {"http": _http, "https": _http, "file": _file, "pipe": _pipe, "-": _stdin}
