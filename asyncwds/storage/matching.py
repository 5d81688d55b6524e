"""What patterns, folders and manifests stand for, looked up on an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from urllib.parse import unquote

from asyncwds.errors import NotFoundError, SpecError
from asyncwds.runtime.counters import Counters
from asyncwds.runtime.event_loop import run_together
from asyncwds.runtime.security import why_refused
from asyncwds.runtime.units import MiB
from asyncwds.settings.access import Access
from asyncwds.shards.folders import is_manifest, no_shards, only_shards, without_others
from asyncwds.shards.globs import fits, fits_name, literal_start
from asyncwds.shards.manifests import records_of
from asyncwds.shards.urls import UrlList, local_path, scheme_of, url_list
from asyncwds.storage.base import Fetcher, ObjectRange
from asyncwds.storage.listing import Listing, UrlPattern, pattern_of, stand_for_others
from asyncwds.storage.object_store import Lister
from asyncwds.storage.registry import open_storage
from asyncwds.storage.scheme import Scheme
from asyncwds.storage.schemes import SchemeMatch

FOLDERS_AT_ONCE = 16
LARGEST_MANIFEST = 256 * MiB


async def listed(urls: UrlList, access: Access) -> Listing:
    """The urls, with patterns, folders and manifests replaced by what they stand for, in order; raises as `expand_and_list`."""
    if not stand_for_others(urls, access.storage):
        return Listing(urls, {})
    found = await _matching(urls, access)
    fetcher = open_storage(access, Counters())
    try:
        manifests = [url for url in found if is_manifest(url)]
        texts = await run_together(_read(fetcher, url) for url in manifests)
    finally:
        await fetcher.aclose()
    records = {url: records_of(text, url) for url, text in zip(manifests, texts, strict=True)}
    shards = [shard for url in found for shard in ([each.url for each in records[url]] if url in records else [url])]
    return Listing(url_list(shards), {each.url: each for some in records.values() for each in some})


async def _read(fetcher: Fetcher, url: str) -> bytes:
    text = bytearray()
    try:
        async with fetcher.open(ObjectRange(url)) as body:
            async for chunk in body:
                text += chunk
                if len(text) > LARGEST_MANIFEST:
                    raise SpecError(f"a manifest has at most {LARGEST_MANIFEST} bytes", url=url)
    except NotFoundError as error:
        if local_path(url) is None:
            raise
        message = "there is no such file; a url that ends in .json or .jsonl is that of a manifest, a list of shards in JSON"
        raise SpecError(message, url=url) from error
    return bytes(text)


async def _matching(urls: Sequence[str], access: Access) -> list[str]:
    async with AsyncExitStack() as open_now:
        matches = partial(_matches, _Listers(access, open_now))
        patterns = [pattern_of(url, access.storage) for url in urls]
        found = iter(await run_together(matches(pattern) for pattern in patterns if pattern is not None))
        return [
            match
            for url, pattern in zip(urls, patterns, strict=True)
            for match in ([url] if pattern is None else _chosen(url, next(found)))
        ]


def _chosen(url: str, found: list[str]) -> list[str]:
    """Of what a pattern or the url of a folder found, the shards. Raises SpecError for a folder without."""
    if not url.endswith("/"):
        return without_others(found, url)
    if shards := only_shards(found):
        return shards
    raise no_shards(url)


class _Listers:
    """The listers of a listing; `open_now` closes them."""

    def __init__(self, access: Access, open_now: AsyncExitStack) -> None:
        self.access = access
        self._open_now = open_now
        self.limit = asyncio.Semaphore(FOLDERS_AT_ONCE)
        self._listers: dict[tuple[Scheme, int], Lister] = {}

    def lister_of(self, match: SchemeMatch) -> Lister:
        key = match.key
        if key not in self._listers:
            assert match.scheme.lister is not None
            lister = match.scheme.lister(match.settings, self.access)
            self._open_now.push_async_callback(lister.aclose)
            self._listers[key] = lister
        return self._listers[key]


async def _matches(listers: _Listers, pattern: UrlPattern) -> list[str]:
    glob, match, is_folder = pattern
    if reason := why_refused(scheme_of(glob.url)):
        raise SpecError(f"{scheme_of(glob.url)}: urls are not looked up, because {reason}", url=glob.url)
    lister = listers.lister_of(match)
    # A name that has brackets needs no pattern; but asking is a request that most patterns can do without.
    if "*" not in glob.url and glob.url in [url async for url in lister.list(glob.url, deep=False)]:
        return [glob.url]
    found = sorted(await _Walk(lister, listers.limit, escaped=match.scheme.escaped).below(glob.folder, glob.names))
    if not found and is_folder and not match.scheme.no_match:
        raise no_shards(glob.folder)
    if not found:
        raise SpecError(f"nothing matches the pattern{match.scheme.no_match}", url=glob.url)
    return found


class _Walk:
    def __init__(self, lister: Lister, limit: asyncio.Semaphore, *, escaped: bool) -> None:
        self._lister = lister
        self._limit = limit
        self._escaped = escaped

    async def below(self, folder: str, names: Sequence[str]) -> list[str]:
        """The objects in `folder` whose path fits the names."""
        if names[0] == "**":
            return [url for url in await self._list(folder, deep=True) if fits(self._path(url, folder).split("/"), names)]
        here = await self._list(folder + literal_start(names[0]), deep=False)
        matching = [url for url in here if fits_name(self._path(url, folder).removesuffix("/"), names[0])]
        if len(names) == 1:
            return [url for url in matching if not url.endswith("/")]
        below = await run_together(self.below(url, names[1:]) for url in matching if url.endswith("/"))
        return [url for found in below for url in found]

    async def _list(self, prefix: str, *, deep: bool) -> list[str]:
        async with self._limit:
            return [url async for url in self._lister.list(prefix, deep=deep)]

    def _path(self, url: str, folder: str) -> str:
        """What follows the folder, as it is matched."""
        path = url[len(folder) :]
        return unquote(path) if self._escaped else path
