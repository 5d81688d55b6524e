"""Which fetcher reads which url."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack

from asyncwds.errors import SpecError
from asyncwds.model import Http, Retry
from asyncwds.security import secure_mode
from asyncwds.stats import Counters
from asyncwds.storage.base import Body, Fetcher
from asyncwds.storage.file import FileFetcher
from asyncwds.storage.pipe import PipeFetcher
from asyncwds.storage.stdin import StdinFetcher
from asyncwds.urls import scheme_of

Maker = Callable[[Http, Retry, Counters], Fetcher]


def open_storage(http: Http, retry: Retry, counters: Counters) -> Fetcher:
    """A fetcher for all urls that the library knows: http:, https:, file:, pipe:, plain paths, and - for standard input.

    For others, opening raises SpecError; so it does for local files and pipes where the environment has WDS_SECURE=1.
    """
    return _Storage(http, retry, counters)


def knows(scheme: str) -> bool:
    """Whether there is a fetcher for a scheme: see `asyncwds.urls.scheme_of`."""
    return scheme in _MAKERS


class _Storage:
    """Makes the fetcher for a scheme when the first such url is opened, and closes them all."""

    def __init__(self, http: Http, retry: Retry, counters: Counters) -> None:
        self._arguments = (http, retry, counters)
        self._fetchers: dict[Maker, Fetcher] = {}

    def open(
        self,
        url: str,
        start: int = 0,
        stop: int | None = None,
        identity: str | None = None,
        *,
        buffer: memoryview | None = None,
    ) -> AbstractAsyncContextManager[Body]:
        maker = _maker(url)
        if maker not in self._fetchers:
            self._fetchers[maker] = maker(*self._arguments)
        return self._fetchers[maker].open(url, start, stop, identity, buffer=buffer)

    async def aclose(self) -> None:
        async with AsyncExitStack() as all_of_them:
            for fetcher in self._fetchers.values():
                all_of_them.push_async_callback(fetcher.aclose)


def _maker(url: str) -> Maker:
    scheme = scheme_of(url)
    if not knows(scheme):
        raise SpecError(
            f"no storage for {scheme}: urls; there is {', '.join(f'{known}:' for known in _MAKERS if known != '-')}", url=url
        )
    if scheme in ("file", "pipe") and secure_mode():
        raise SpecError(f"{scheme}: urls are not opened, because WDS_SECURE is set", url=url)
    return _MAKERS[scheme]


def _http(http: Http, retry: Retry, counters: Counters) -> Fetcher:
    from asyncwds.storage.hedge import Hedged  # noqa: PLC0415 - they bring aiohttp, 150 ms
    from asyncwds.storage.http import HttpFetcher  # noqa: PLC0415 - as above
    from asyncwds.storage.retry import Retrying  # noqa: PLC0415 - as above

    return Retrying(Hedged(HttpFetcher(http, retry, counters), retry, counters), retry, counters)


def _file(_http: Http, _retry: Retry, counters: Counters) -> Fetcher:
    return FileFetcher(counters)


def _pipe(_http: Http, _retry: Retry, counters: Counters) -> Fetcher:
    return PipeFetcher(counters)


def _stdin(_http: Http, _retry: Retry, counters: Counters) -> Fetcher:
    return StdinFetcher(counters)


_MAKERS: dict[str, Maker] = {"http": _http, "https": _http, "file": _file, "pipe": _pipe, "-": _stdin}
