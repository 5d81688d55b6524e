"""Patterns of shards → urls, where that takes a look into buckets or at the index pages of web servers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote

from asyncwds.errors import SpecError
from asyncwds.model import Http, Retry
from asyncwds.security import refused
from asyncwds.stats import Counters
from asyncwds.storage.clouds import Storage, http_for, settings_for, site_maker
from asyncwds.storage.globs import Glob, fits, fits_name, glob_of, literal_start
from asyncwds.urls import Urls, expand, scheme_of

if TYPE_CHECKING:
    from asyncwds.storage.sites import Site

T = TypeVar("T")
FOLDERS_AT_ONCE = 16
_WEB = "; on web servers, wildcards need a page that lists the folder: if this one has none, name the shards: {000..099}"


def expand_and_list(urls: Urls, http: Http | None = None, retry: Retry | None = None, storage: Storage | None = None) -> list[str]:
    """As `asyncwds.urls.expand`, with the wildcards in the urls of buckets and web servers expanded too.

    Blocks; the requests are made by a loop in a thread of its own, so that it does not matter whether one runs in this thread.
    Raises SpecError also where nothing fits a pattern, and FetchError if it cannot be looked up.
    """
    expanded = expand(urls)
    storage = storage or {}
    if not any(_glob(url, storage) for url in expanded):
        return expanded
    return _blocking(partial(listed, expanded, http or Http(), retry or Retry(), storage))


async def listed(urls: Sequence[str], http: Http, retry: Retry, storage: Storage) -> list[str]:
    """The urls, with patterns replaced by what fits them, in order; raises as `expand_and_list`."""
    async with AsyncExitStack() as open_now:
        look_up = partial(_look_up, _Sites(http, retry, storage, open_now))
        globs = [_glob(url, storage) for url in urls]
        found = iter(await _together(look_up(glob) for glob in globs if glob is not None))
        return [match for url, glob in zip(urls, globs, strict=True) for match in ([url] if glob is None else next(found))]


class _Sites:
    """The sites of a listing, each with a transport of its own; `open_now` closes them."""

    def __init__(self, http: Http, retry: Retry, storage: Storage, open_now: AsyncExitStack) -> None:
        self._http = http
        self._retry = retry
        self._storage = storage
        self._open_now = open_now
        self.limit = asyncio.Semaphore(FOLDERS_AT_ONCE)
        self._sites: dict[int, Site] = {}

    def site_of(self, url: str) -> Site:
        from asyncwds.storage.transport import Transport  # noqa: PLC0415 - it brings aiohttp, 150 ms
        from asyncwds.storage.web import Web  # noqa: PLC0415 - as above

        settings = settings_for(url, self._storage)
        if id(settings) not in self._sites:
            http = self._http if settings is None else http_for(settings, self._http)
            transport = Transport(http, self._retry, Counters(), logins=settings is None)
            self._open_now.push_async_callback(transport.aclose)
            site = Web(transport) if settings is None else site_maker(settings)(transport)
            self._open_now.push_async_callback(site.aclose)
            self._sites[id(settings)] = site
        return self._sites[id(settings)]


def _glob(url: str, storage: Storage) -> Glob | None:
    is_listable = settings_for(url, storage) is not None or url.lower().startswith(("http://", "https://"))
    return glob_of(url) if is_listable else None


async def _look_up(sites: _Sites, glob: Glob) -> list[str]:
    scheme = scheme_of(glob.url)
    if reason := refused(scheme):
        raise SpecError(f"{scheme}: urls are not looked up, because {reason}", url=glob.url)
    site = sites.site_of(glob.url)
    # A name that has brackets needs no pattern; but asking is a request that most patterns can do without.
    if "*" not in glob.url and glob.url in [url async for url in site.list(glob.url, deep=False)]:
        return [glob.url]
    found = sorted(await _Walk(site, sites.limit).below(glob.folder, glob.names))
    if not found:
        raise SpecError(f"nothing matches the pattern{_WEB if scheme.startswith('http') else ''}", url=glob.url)
    return found


class _Walk:
    def __init__(self, site: Site, limit: asyncio.Semaphore) -> None:
        self._site = site
        self._limit = limit

    async def below(self, folder: str, names: Sequence[str]) -> list[str]:
        """The objects in `folder` whose path fits the names."""
        if names[0] == "**":
            return [url for url in await self._list(folder, deep=True) if fits(_path(url, folder).split("/"), names)]
        here = await self._list(folder + literal_start(names[0]), deep=False)
        matching = [url for url in here if fits_name(_path(url, folder).removesuffix("/"), names[0])]
        if len(names) == 1:
            return [url for url in matching if not url.endswith("/")]
        below = await _together(self.below(url, names[1:]) for url in matching if url.endswith("/"))
        return [url for found in below for url in found]

    async def _list(self, prefix: str, *, deep: bool) -> list[str]:
        async with self._limit:
            return [url async for url in self._site.list(prefix, deep=deep)]


async def _together(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """All results in order. Where one fails, the others are cancelled."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        raise


def _path(url: str, folder: str) -> str:
    """What follows the folder, as it is matched; in the urls of web servers names are escaped."""
    path = url[len(folder) :]
    return unquote(path) if url[:4].lower() == "http" else path


def _blocking(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Waits for it in a thread with a loop of its own. Ctrl-C ends it."""
    wanted: Future[None] = Future()
    with ThreadPoolExecutor(1, thread_name_prefix="asyncwds-listing") as thread:
        try:
            return thread.submit(_run, wanted, work).result()
        except BaseException:
            wanted.cancel()
            raise


def _run(wanted: Future[None], work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    async def while_wanted() -> T:
        task = asyncio.create_task(work())
        unwanted = asyncio.wrap_future(wanted)
        unwanted.add_done_callback(lambda _: task.cancel())
        try:
            return await task
        finally:
            unwanted.cancel()

    return asyncio.run(while_wanted())
