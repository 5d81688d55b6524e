"""Samples by a part of their key, in milliseconds for a million of them. No I/O."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from asyncwds.index.columns import Columns


class Found(NamedTuple):
    """Numbers of samples; `after` is where the search goes on, None where there is nothing more."""

    numbers: list[int]
    after: int | None


def search_keys(shards: Sequence[Columns], wanted: str, most: int, after: int = 0) -> Found:
    """The samples from number `after` on whose key has `wanted` in it; from the first on the one with this key is put first."""
    raw = wanted.encode("utf-8", "surrogateescape")
    found: list[int] = []
    for number in _matching(shards, raw, after):
        if len(found) == most:
            return Found(_exact_first(shards, raw, found, after), number)
        found.append(number)
    return Found(_exact_first(shards, raw, found, after), None)


def find_key(shards: Sequence[Columns], wanted: str) -> int | None:
    """The number of the first sample that has this key."""
    raw = wanted.encode("utf-8", "surrogateescape")
    begin = 0
    for columns in shards:
        for row in _rows(columns, raw, 0):
            if columns.raw_key(row) == raw:
                return begin + row
        begin += len(columns)
    return None


def _exact_first(shards: Sequence[Columns], raw: bytes, found: list[int], after: int) -> list[int]:
    exact = find_key(shards, raw.decode("utf-8", "surrogateescape")) if not after else None
    return found if exact is None else [exact, *[number for number in found if number != exact]]


def _matching(shards: Sequence[Columns], raw: bytes, after: int) -> Iterator[int]:
    begin = 0
    for columns in shards:
        if begin + len(columns) > after:
            yield from (begin + row for row in _rows(columns, raw, max(0, after - begin)))
        begin += len(columns)


def _rows(columns: Columns, raw: bytes, first: int) -> Iterator[int]:
    """Keys stand one behind the other: a match that reaches into the next one is none."""
    ends = columns.ends_of_keys
    position = int(ends[first])
    while raw and (position := columns.keys.find(raw, position)) >= 0:
        row = int(np.searchsorted(ends, position, side="right")) - 1
        if position + len(raw) <= ends[row + 1]:
            yield row
            position = int(ends[row + 1])
        else:
            position += 1
