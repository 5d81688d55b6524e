"""`Index`: which samples there are in the shards of a data set, and where. No I/O."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np

from asyncwds.errors import NoSuchSampleError, SpecError
from asyncwds.formatting.texts import plural, show_value
from asyncwds.index.columns import Columns, Row, pack, unpack
from asyncwds.shards.manifests import ShardRecord


@dataclass(frozen=True)
class ShardIndex:
    """The samples of one shard.

    size      of the shard [bytes]; None is not known
    identity  its ETag; None is not known, or there is none, as for local files
    samples   how many there are
    packed    where they are, as `columns.pack` makes it; None where only their number is known, also of compressed shards,
              which have no bytes that could be asked for one by one
    """

    url: str
    samples: int
    size: int | None = None
    identity: str | None = None
    packed: bytes | None = None

    @classmethod
    def of(cls, url: str, columns: Columns, size: int | None = None, identity: str | None = None) -> ShardIndex:
        return cls(url, len(columns), size, identity, pack(columns))

    @cached_property
    def columns(self) -> Columns:
        """Raises SpecError where there are none, or they are damaged."""
        if self.packed is None:
            raise SpecError(
                "of this shard the index has only the number of samples, and not where they are: it is compressed, or the index is "
                "a list of counts; `asyncwds index` makes one with places for shards that are not compressed",
                url=self.url,
            )
        try:
            columns = unpack(self.packed)
        except ValueError as error:
            raise SpecError(f"the index of this shard is damaged: {error}", url=self.url) from error
        if len(columns) != self.samples:
            raise SpecError(f"the index of this shard is damaged: it has {len(columns)} of {self.samples} samples", url=self.url)
        return columns

    def rows(self) -> Iterator[Row]:
        return map(self.columns.__getitem__, range(self.samples))

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "columns"}  # they are made anew


class Location(NamedTuple):
    """A sample by its shard's place in the index, and its own in the shard's columns."""

    shard: int
    row: int


@dataclass(frozen=True)
class Index:
    """The shards of a data set in order, and in them its samples, which are counted over all shards.

    `len()` is the number of samples. Made by `make_index`, `asyncwds index`, or while shards are written or read; `load_index`
    reads it from a file. In a pickle it takes no more room than in its file.
    """

    shards: tuple[ShardIndex, ...]

    @cached_property
    def _ends(self) -> list[int]:
        """The number of the sample behind the last of each shard."""
        return list(accumulate(shard.samples for shard in self.shards))

    @cached_property
    def _keys(self) -> _KeyTable:
        return _KeyTable([shard.columns for shard in self.shards])

    def __len__(self) -> int:
        return self._ends[-1] if self.shards else 0

    def __getstate__(self) -> dict[str, Any]:
        return {"shards": self.shards}

    def __repr__(self) -> str:
        return f"Index({plural(len(self), 'sample')} in {plural(len(self.shards), 'shard')})"

    def __getitem__(self, number: int) -> Row:
        """What is known of a sample. Raises NoSuchSampleError (an IndexError)."""
        shard, row = self.locate(number)
        return self.shards[shard].columns[row]

    def locate(self, number: int) -> Location:
        """Where the sample of that number is; a negative one counts from the end. Raises NoSuchSampleError."""
        number = self.check(number)
        shard = bisect_right(self._ends, number)
        return Location(shard, number - (self._ends[shard - 1] if shard else 0))

    def check(self, number: int) -> int:
        """The number, counted from the beginning. Raises NoSuchSampleError."""
        count = len(self)
        if not -count <= number < count:
            raise NoSuchSampleError(f"there is no sample {number}: the index has {plural(count, 'sample')}")
        return number % count

    def find(self, key: str) -> int:
        """The number of the first sample that has this key. Raises NoSuchSampleError (a KeyError)."""
        found = self._keys.find(key)
        if found is None:
            raise NoSuchSampleError("no sample of the index has this key", key=key)
        return found

    def keys(self) -> Iterator[str]:
        return (shard.columns.key(row) for shard in self.shards for row in range(shard.samples))

    def records(self) -> dict[str, ShardRecord]:
        """Samples and sizes [bytes] of the shards, by url."""
        return {shard.url: ShardRecord(shard.url, shard.samples, shard.size or 0) for shard in self.shards}

    def for_urls(self, urls: Sequence[str]) -> Index:
        """The index of these shards, in this order: each by its url, or by the last part of that where only one is called so.

        Shards under other urls than those that were indexed are copies, perhaps with another ETag: the size has to suffice.
        Raises SpecError for a shard that is not in the index.
        """
        known = {shard.url: shard for shard in self.shards}
        if all(url in known for url in urls):
            return Index(tuple([known[url] for url in urls]))
        named = _by_name(self.shards)
        return Index(tuple([known.get(url) or _copy_at(url, named.get(_name(url))) for url in urls]))


def _copy_at(url: str, shard: ShardIndex | None) -> ShardIndex:
    if shard is None:
        raise SpecError("the index has no such shard", url=url)
    return ShardIndex(url, shard.samples, shard.size, None, shard.packed)


def _by_name(shards: Iterable[ShardIndex]) -> dict[str, ShardIndex | None]:
    named: dict[str, ShardIndex | None] = {}
    for shard in shards:
        name = _name(shard.url)
        named[name] = None if name in named else shard
    return named


def _name(url: str) -> str:
    return url.partition("?")[0].rpartition("/")[2]


class _KeyTable:
    """Keys by their hashes, sorted: 16 bytes a key, where a dict of texts takes 150."""

    def __init__(self, shards: Sequence[Columns]) -> None:
        self._shards = shards
        self._ends = np.cumsum([0, *map(len, shards)])
        hashes = [hash(columns.raw_key(row)) for columns in shards for row in range(len(columns))]
        self._hashes = np.array(hashes, dtype=np.int64)
        self._numbers = np.argsort(self._hashes, kind="stable")
        self._hashes = self._hashes[self._numbers]

    def find(self, key: str) -> int | None:
        raw = key.encode("utf-8", "surrogateescape")
        first, stop = (int(np.searchsorted(self._hashes, hash(raw), side=side)) for side in ("left", "right"))
        for number in self._numbers[first:stop]:
            shard = int(np.searchsorted(self._ends, number, side="right")) - 1
            if self._shards[shard].raw_key(int(number - self._ends[shard])) == raw:
                return int(number)
        return None


def as_number(index: Index, wanted: Any) -> int:
    """The number of a sample that was asked for by number or key. Raises NoSuchSampleError, SpecError for anything else."""
    if isinstance(wanted, str):
        return index.find(wanted)
    try:
        number = wanted.__index__()
    except (AttributeError, TypeError):
        raise SpecError(f"a sample is asked for by number or key, not by {show_value(wanted)}") from None
    return index.check(int(number))
