"""What is kept of the samples of a shard, to be looked at when all have come: some 25 bytes a sample. No I/O."""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from asyncwds.tools.verify.rules import Finding

Ints = np.ndarray[Any, np.dtype[np.int64]]
_LEVEL = 1  # keys are alike: a fifth of their length, at 0.2 µs each


@dataclass(frozen=True)
class Keys:
    """The keys of a shard: their hashes, in order, and the keys themselves, packed."""

    hashes: Ints
    packed: bytes

    def texts(self) -> list[str]:
        return zlib.decompress(self.packed).decode("utf-8", "surrogateescape").split("\0")[:-1]

    def __reduce__(self) -> tuple[Callable[[bytes], Keys], tuple[bytes]]:
        """Hashes are those of a process, and made anew in another one."""
        return _hashed, (self.packed,)


def _hashed(packed: bytes) -> Keys:
    texts = Keys(np.zeros(0, dtype=np.int64), packed).texts()
    return Keys(np.fromiter(map(hash, texts), dtype=np.int64, count=len(texts)), packed)


class SampleTable:
    """Takes the samples of one shard: key, fields, offset [bytes] of each."""

    def __init__(self) -> None:
        self.schemas: list[tuple[str, ...]] = []
        """The sets of fields that there are."""
        self.numbers: dict[tuple[str, ...], int] = {}
        """Where each stands among these."""
        self._hashes, self._offsets, self._schema = array("q"), array("q"), array("q")
        self._packer = zlib.compressobj(_LEVEL)
        self._packed: list[bytes] = []

    def __len__(self) -> int:
        return len(self._hashes)

    def add(self, keys: list[str], schemas: Iterable[tuple[str, ...]], offsets: Iterable[int]) -> None:
        """Samples in order; keys that have zeros in them, which no other tool would take, are kept without."""
        keys = [key.replace("\0", "") for key in keys]
        self._hashes.extend(map(hash, keys))
        self._offsets.extend(offsets)
        known = self.numbers
        for schema in schemas:
            number = known.get(schema)
            if number is None:
                number = known[schema] = len(self.schemas)
                self.schemas.append(schema)
            self._schema.append(number)
        if keys:
            self._packed.append(self._packer.compress("\0".join([*keys, ""]).encode("utf-8", "surrogateescape")))

    def add_columns(self, keys: bytes, hashes: bytes, offsets: bytes, schema: bytes) -> None:
        """The same as a `TableScanner` gives them."""
        self._hashes.frombytes(hashes)
        self._offsets.frombytes(offsets)
        self._schema.frombytes(schema)
        self._packed.append(self._packer.compress(keys))

    def finish(self) -> ShardSamples:
        """To be called once."""
        keys = Keys(np.array(self._hashes, dtype=np.int64), b"".join([*self._packed, self._packer.flush()]))
        return ShardSamples(keys, np.array(self._offsets, dtype=np.int64), np.array(self._schema, dtype=np.int64), self.schemas)


@dataclass(frozen=True)
class ShardSamples:
    """All samples of a shard, as columns."""

    keys: Keys
    offsets: Ints
    schema: Ints
    schemas: list[tuple[str, ...]]

    def repeated(self) -> list[list[int]]:
        """Groups of samples with the same key, by their numbers."""
        suspects = same_values(self.keys.hashes)
        if not suspects:
            return []
        texts = self.keys.texts()
        groups: dict[str, list[int]] = {}
        for number in suspects:
            groups.setdefault(texts[number], []).append(number)
        return [group for group in groups.values() if len(group) > 1]

    def schema_counts(self, leave_out: Iterable[int]) -> dict[tuple[str, ...], tuple[int, int]]:
        """Of each set of fields how many samples have it, and which one is the first; in the order of these."""
        chosen = np.delete(np.arange(len(self.schema)), list(leave_out))
        found, first, counts = np.unique(self.schema[chosen], return_index=True, return_counts=True)
        order = np.argsort(first)
        return {
            self.schemas[schema]: (int(count), int(chosen[place]))
            for schema, place, count in zip(found[order].tolist(), first[order].tolist(), counts[order].tolist(), strict=True)
        }


def same_values(values: Ints) -> list[int]:
    """The places of values that are there more than once, in order."""
    order = np.argsort(values, kind="stable")
    same = values[order][1:] == values[order][:-1]
    twice = np.zeros(len(values), dtype=bool)
    twice[order[1:][same]] = twice[order[:-1][same]] = True
    return np.flatnonzero(twice).tolist()


def find_repeated(samples: ShardSamples, groups: Iterable[list[int]], url: str) -> Iterator[Finding]:
    """W10 for a sample in several pieces, W11 for several samples with one key: then they share a field."""
    groups = list(groups)
    texts = samples.keys.texts() if groups else []
    for group in groups:
        fields = [set(samples.schemas[samples.schema[number]]) for number in group]
        shared = sum(map(len, fields)) > len(set().union(*fields))
        for number in group[1:]:
            key = texts[number]
            if shared:
                message = f"the key {key[:200]!r} comes again, and with it fields that it has had already"
            else:
                message = f"members of the sample {key[:200]!r} stand apart: readers make several samples of it"
            yield Finding("W11" if shared else "W10", message, url, key, int(samples.offsets[number]))
