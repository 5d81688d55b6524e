"""Patterns of shards → urls, where that takes a look into buckets or at the index pages of web servers."""

from __future__ import annotations

from functools import partial

from asyncwds.runtime.blocking import run_on_own_loop
from asyncwds.settings.access import Access
from asyncwds.shards.patterns import Urls, expand
from asyncwds.shards.urls import UrlList
from asyncwds.storage.wildcards import Listing, stand_for_others


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
