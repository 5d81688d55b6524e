"""Which urls stand for others: patterns, folders and manifests. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from asyncwds.settings.access import Storage
from asyncwds.shards.folders import is_manifest
from asyncwds.shards.globs import Glob, glob_of
from asyncwds.shards.likeness import may_stand_for_others
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
