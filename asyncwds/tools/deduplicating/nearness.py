"""Which hashes stay, if none shall be within a distance of another that stays. No I/O."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

from asyncwds.errors import SpecError

BITS = 64
FARTHEST = 15
"""Bits: beyond that there are fewer than 4 in a band, and each hash would be compared with most others."""

_NEAR = re.compile(r"\s*phash\(\s*(?P<field>[^,()\s]+)\s*(?:,\s*(?:<=|≤)\s*(?P<distance>\d{1,3})\s*)?\)\s*")


class Near(NamedTuple):
    """Of pictures in `field`, those whose hashes differ in at most `distance` bits are the same."""

    field: str
    distance: int


def parse_near(by: str) -> Near | None:
    """`phash(jpg,<=4)`; None for what is no phash. Without a distance it is 0. Raises SpecError for what cannot be understood."""
    found = _NEAR.fullmatch(by)
    if found is None:
        if by.strip().startswith("phash("):
            raise SpecError(f"this is phash(FIELD,<=BITS), as phash(jpg,<=4), and not {by[:80]!r}")
        return None
    distance = int(found["distance"] or 0)
    if distance > FARTHEST:
        raise SpecError(f"pictures whose hashes differ in more than {FARTHEST} of {BITS} bits have nothing in common: {by[:80]!r}")
    return Near(found["field"].lower(), distance)


def keep_apart(hashes: Iterable[int], distance: int) -> Iterator[bool]:
    """Of each, in order, whether it stays: it is not within the distance of one before it that stays.

    Hashes that differ in no more than `distance` bits are the same in one of `distance + 1` bands, so that only those are
    compared that share one.
    """
    bands = _bands(distance + 1)
    tables: list[defaultdict[int, list[int]]] = [defaultdict(list) for _ in bands]
    stay: set[int] = set()
    for value in hashes:
        sections = [(value >> shift) & mask for shift, mask in bands]
        near = value in stay or any(
            (value ^ other).bit_count() <= distance
            for table, section in zip(tables, sections, strict=True)
            for other in table.get(section, ())
        )
        yield not near
        if near:
            continue
        stay.add(value)
        for table, section in zip(tables, sections, strict=True):
            table[section].append(value)


def _bands(count: int) -> list[tuple[int, int]]:
    """Where each begins [bits], and the mask of its bits: as even as may be."""
    edges = [BITS * number // count for number in range(count + 1)]
    return [(start, (1 << (stop - start)) - 1) for start, stop in pairwise(edges)]
