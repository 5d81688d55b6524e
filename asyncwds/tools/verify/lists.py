"""Reads what shards are compared with: manifests, lists of other libraries, indexes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from asyncwds.errors import SpecError
from asyncwds.index.files import load_by
from asyncwds.settings.access import Access
from asyncwds.shards.folders import is_manifest
from asyncwds.storage.listing import look_up
from asyncwds.tools.verify.expected import Expected, expected_of_index, expected_of_records


def read_lists(urls: Iterable[str], access: Access) -> dict[str, Expected]:
    """What they say of shards, by url; where several speak of one, all that they say.

    Raises SpecError for what is none of these, and FetchError where it cannot be read.
    """
    known: dict[str, Expected] = {}
    for url in urls:
        known = merge(known, _read_list(url, access))
    return known


def merge(known: Mapping[str, Expected], more: Mapping[str, Expected]) -> dict[str, Expected]:
    return {**known, **{url: known[url].with_more(said) if url in known else said for url, said in more.items()}}


def _read_list(url: str, access: Access) -> dict[str, Expected]:
    if is_manifest(url):
        try:
            return expected_of_records(look_up([url], access).records.values())
        except SpecError:  # JSON of an index, perhaps
            return expected_of_index(load_by(url, access))
    return expected_of_index(load_by(url, access))
