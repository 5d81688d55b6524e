"""Samples for which a condition holds. A field is read when the condition first asks for it: sizes and keys need none."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from asyncwds.errors import WdsError
from asyncwds.tar.raw import Piece, RawMember, RawSample
from asyncwds.tools.expressions import Expression, parse
from asyncwds.viewer.catalog import Catalog, Place
from asyncwds.viewer.fields import FieldReader

AT_ONCE = 64
PATIENCE = 1.0  # [s] after which what was found so far is given


class Matches(NamedTuple):
    """Numbers of samples; `after` is where the search goes on, None where there is nothing more. `failed` could not be told."""

    numbers: list[int]
    after: int | None
    failed: int


class _UnreadError(Exception):
    """The condition asks for that field."""

    def __init__(self, field: int) -> None:
        super().__init__(field)
        self.field = field


class _Unread(NamedTuple):
    """In place of the bytes of a field."""

    field: int

    def read_range(self, start: int, stop: int) -> bytes:  # noqa: ARG002 - as what can be read has it
        raise _UnreadError(self.field)


class _Padding:
    """What stands around payloads, which no condition asks for."""

    def read_range(self, start: int, stop: int) -> bytes:  # noqa: ARG002 - as above
        return b""


async def find_matching(catalog: Catalog, fields: FieldReader, where: str, most: int, after: int = 0) -> Matches:
    """The first samples from number `after` on. Raises SpecError for a condition that is none."""
    condition = parse(where)
    until = asyncio.get_running_loop().time() + PATIENCE
    numbers: list[int] = []
    failed = 0
    while after < len(catalog):
        tested = range(after, min(after + AT_ONCE, len(catalog)))
        found = await asyncio.gather(*[_holds(condition, catalog.place(number), fields) for number in tested])
        for number, holds in zip(tested, found, strict=True):
            failed += holds is None
            after = number + 1
            if holds:
                numbers.append(number)
            if len(numbers) == most:
                return Matches(numbers, after if after < len(catalog) else None, failed)
        if asyncio.get_running_loop().time() > until:
            return Matches(numbers, after if after < len(catalog) else None, failed)
        await asyncio.sleep(0)
    return Matches(numbers, None, failed)


async def _holds(condition: Expression, place: Place, fields: FieldReader) -> bool | None:
    """None for a sample that cannot be read, or whose field is not what its name says."""
    known: dict[int, bytes] = {}
    while True:
        try:
            return condition.is_true(_as_sample(place, known))
        except _UnreadError as unread:
            try:
                known[unread.field] = await fields.whole(place, place.field(unread.field))
            except WdsError:
                return None
        except WdsError:
            return None


def _as_sample(place: Place, known: dict[int, bytes]) -> RawSample:
    row = place.row
    members = []
    for number, (suffix, _, size) in enumerate(row.fields):
        piece = Piece(known.get(number, _Unread(number)), 0, size)
        members.append(RawMember(f"{row.key}.{suffix}", suffix.lower(), size, 0, size, (piece,)))
    if members:  # headers and padding are of the last one, so that the sample has the bytes that it takes
        rest = max(0, row.end - row.offset - sum([size for _, _, size in row.fields]))
        members[-1] = members[-1]._replace(pieces=(*members[-1].pieces, Piece(_Padding(), 0, rest)))
    return RawSample(row.key, place.entry.url, 0, row.ordinal, row.offset, tuple(members))
