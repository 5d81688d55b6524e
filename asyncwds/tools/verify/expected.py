"""What manifests, lists of other libraries and indexes say of shards: how that is read, and how a shard differs from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from asyncwds.engine.parts import ShardRun
from asyncwds.errors import SpecError
from asyncwds.index.files import load_by
from asyncwds.index.index import Index, ShardIndex
from asyncwds.settings.access import Access
from asyncwds.shards.folders import is_manifest
from asyncwds.shards.manifests import ShardRecord
from asyncwds.storage.listing import look_up
from asyncwds.tools.verify.samples import ShardSamples


@dataclass(frozen=True)
class Expected:
    """What is said of a shard; None is not said. `size` is in bytes, `checksum` as `sha256:…`; `index` has its samples."""

    samples: int | None = None
    size: int | None = None
    checksum: str | None = None
    index: ShardIndex | None = None

    def with_more(self, more: Expected) -> Expected:
        return Expected(
            self.samples if more.samples is None else more.samples,
            more.size or self.size,
            more.checksum or self.checksum,
            more.index or self.index,
        )

    def compare(self, run: ShardRun, samples: ShardSamples, keys: list[str], *, failed: bool) -> Iterator[str]:
        """How the shard differs."""
        if self.size and run.total is not None and run.total != self.size:
            yield f"it has {run.total} bytes, and {self.size} are listed"
        if self.samples is not None and len(keys) != self.samples:
            yield f"it has {len(keys)} samples, and {self.samples} are listed"
        elif self.index is not None and not failed:
            yield from _compare_index(self.index, run, samples, keys)


def _compare_index(index: ShardIndex, run: ShardRun, samples: ShardSamples, keys: list[str]) -> Iterator[str]:
    if None not in (index.identity, run.identity) and index.identity != run.identity:
        yield f"its index is of version {index.identity}, and this is {run.identity}"
    if index.packed is None:
        return
    columns = index.columns
    if columns.offsets.tolist() != samples.offsets.tolist():
        yield "samples do not begin where its index says"
    elif any(key and key != found for key, found in zip(map(columns.key, range(len(columns))), keys, strict=True)):
        yield "samples have other keys than its index says"


def expected_of_records(records: Iterable[ShardRecord]) -> dict[str, Expected]:
    """By url."""
    return {record.url: Expected(record.samples, record.bytes or None, _checksum(record)) for record in records}


def _checksum(record: ShardRecord) -> str | None:
    if record.sha256 is not None:
        return f"sha256:{record.sha256}"
    return None if record.md5 is None else f"md5:{record.md5}"


def expected_of_index(index: Index) -> dict[str, Expected]:
    """By url."""
    return {shard.url: Expected(shard.samples, shard.size, index=shard) for shard in index.shards}


def for_url(url: str, known: dict[str, Expected]) -> Expected | None:
    """What is said of a shard: under its url, or under a url with the same last part, if it is the only one."""
    if url in known:
        return known[url]
    names = Counter(map(_name, known))
    name = _name(url)
    return next((found for listed, found in known.items() if _name(listed) == name), None) if names[name] == 1 else None


def _name(url: str) -> str:
    return url.partition("?")[0].rpartition("/")[2]


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
