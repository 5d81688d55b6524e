"""Which urls stand for others (patterns, folders and manifests), and what for, where that takes a look into buckets or at the
index pages of web servers.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from asyncwds.runtime.blocking import run_on_own_loop
from asyncwds.settings.access import Access, Storage
from asyncwds.shards.folders import is_manifest
from asyncwds.shards.globs import Glob, glob_of
from asyncwds.shards.likeness import may_stand_for_others
from asyncwds.shards.patterns import Urls, expand
from asyncwds.shards.urls import UrlList
from asyncwds.storage.schemes import SchemeMatch, find

if TYPE_CHECKING:
    from asyncwds.shards.manifests import ShardRecord


_WILDCARDS = frozenset("*?[")


class Listing(NamedTuple):
    """The urls of shards in order, and what manifests know of them, by url."""

    urls: UrlList
    records: dict[str, ShardRecord]


def stand_for_others(urls: UrlList, storage: Storage) -> bool:
    """Whether some are patterns, folders or manifests."""
    return any(is_manifest(url) or pattern_of(url, storage) is not None for url in may_stand_for_others(urls, storage))


class UrlPattern(NamedTuple):
    """What a url stands for, and the scheme that it has."""

    glob: Glob
    match: SchemeMatch
    is_folder: bool


def pattern_of(url: str, storage: Storage) -> UrlPattern | None:
    match = find(url, storage)
    # Of urls there may be 100,000; nearly all are plain, which is seen at once.
    if match is None or match.scheme.lister is None or (_WILDCARDS.isdisjoint(url) and not url.endswith("/")):
        return None
    glob = glob_of(url, has_query=match.scheme.has_query)
    is_folder = glob is None and url.endswith("/") and "?" not in url
    if is_folder:
        glob = Glob(url, ("*",))
    return None if glob is None else UrlPattern(glob, match, is_folder)


def expand_and_list(urls: Urls, access: Access | None = None) -> list[str]:
    """As `asyncwds.shards.patterns.expand`, with the wildcards in the urls of buckets and web servers expanded too.

    Blocks; the requests are made by a loop in a thread of its own, so that it does not matter whether one runs in this thread.
    Raises SpecError also where nothing fits a pattern, and FetchError if it cannot be looked up.
    """
    return list(look_up(urls, access).urls)


def look_up(urls: Urls, access: Access | None = None) -> Listing:
    """As `expand_and_list`, with what is known of the shards."""
    return look_up_expanded(expand(urls), access or Access())


def look_up_expanded(urls: UrlList, access: Access) -> Listing:
    """The same for what `expand` gave."""
    if not stand_for_others(urls, access.storage):
        return Listing(urls, {})
    from asyncwds.storage.matching import listed  # noqa: PLC0415 - asyncio, and what opens manifests

    return run_on_own_loop(partial(listed, urls, access))
