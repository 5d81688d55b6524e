"""The samples of a shard as columns, and these as bytes: about 4 bytes a field, and the keys. No I/O.

A sample lies in [offset, end) of the archive, from its first header to the end of its last member, padding included; members of
no sample may lie between two. Each member begins with its headers, then comes its payload.

What is stored is what cannot be told from the rest: gaps between samples and the length of headers, which are nearly always the
same and take no room when they are compressed; the sizes of payloads; the keys.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from asyncwds.tar.headers import BLOCK

Ints = np.ndarray[Any, np.dtype[np.int64]]
_LEVEL = 6


class Field(NamedTuple):
    """A member of a sample: its payload is `size` [bytes] at `offset` [bytes] of the archive. The member's name is KEY.suffix."""

    suffix: str
    offset: int
    size: int

    @property
    def end(self) -> int:
        """Of its padding."""
        return self.offset + self.size + -self.size % BLOCK


class Row(NamedTuple):
    """A sample: where its first header is [bytes], where it ends, and which one it is of those in the archive.

    Indexes of other libraries may know no keys (then "" ) and no fields.
    """

    key: str
    ordinal: int
    offset: int
    end: int
    fields: tuple[Field, ...]


@dataclass(frozen=True, eq=False)
class Columns:
    """Arrays over the samples, and over their members. `ends_of_keys` and `first_members` have one number more than samples."""

    offsets: Ints
    ends: Ints
    ordinals: Ints
    keys: bytes
    ends_of_keys: Ints
    schemas: tuple[tuple[str, ...], ...]  # the suffixes of a sample's members
    schema: Ints
    first_members: Ints
    payloads: Ints  # offsets
    sizes: Ints

    def __len__(self) -> int:
        return len(self.offsets)

    def __getitem__(self, number: int) -> Row:
        return Row(self.key(number), int(self.ordinals[number]), *self.span(number), self.fields(number))

    def span(self, number: int) -> tuple[int, int]:
        return int(self.offsets[number]), int(self.ends[number])

    def key(self, number: int) -> str:
        return self.raw_key(number).decode("utf-8", "surrogateescape")

    def raw_key(self, number: int) -> bytes:
        return self.keys[self.ends_of_keys[number] : self.ends_of_keys[number + 1]]

    def fields(self, number: int) -> tuple[Field, ...]:
        first, stop = self.first_members[number], self.first_members[number + 1]
        suffixes = self.schemas[self.schema[number]]
        return tuple(map(Field, suffixes, self.payloads[first:stop].tolist(), self.sizes[first:stop].tolist()))


def columns_of(rows: Iterable[Row]) -> Columns:
    """Of samples in the order in which they lie in the archive. Raises ValueError where they overlap."""
    rows = list(rows)
    known: dict[tuple[str, ...], int] = {}
    schema = [known.setdefault(tuple([field.suffix for field in row.fields]), len(known)) for row in rows]
    keys = [row.key.encode("utf-8", "surrogateescape") for row in rows]
    members = [field for row in rows for field in row.fields]
    columns = Columns(
        offsets=_ints([row.offset for row in rows]),
        ends=_ints([row.end for row in rows]),
        ordinals=_ints([row.ordinal for row in rows]),
        keys=b"".join(keys),
        ends_of_keys=_sums(_ints([len(key) for key in keys])),
        schemas=tuple(known),
        schema=_ints(schema),
        first_members=_sums(_ints([len(row.fields) for row in rows])),
        payloads=_ints([field.offset for field in members]),
        sizes=_ints([field.size for field in members]),
    )
    _split(columns)  # which raises
    return columns


def pack(columns: Columns) -> bytes:
    gaps, heads, tails = _split(columns)
    numbers = [
        gaps,
        tails,
        np.diff(columns.ordinals, prepend=-1) - 1,
        np.diff(columns.ends_of_keys),
        columns.schema,
        heads,
        columns.sizes,
    ]
    sizes = {"samples": len(columns), "members": len(columns.sizes), "keys": len(columns.keys), "schemas": columns.schemas}
    beginning = json.dumps(sizes).encode()
    packed = [len(beginning).to_bytes(4, "little"), beginning, *map(_narrow, numbers), columns.keys]
    return zlib.compress(b"".join(packed), _LEVEL)


def unpack(packed: bytes) -> Columns:
    """Raises ValueError for what is damaged."""
    try:
        return _unpack(zlib.decompress(packed))
    except (zlib.error, KeyError, TypeError, IndexError) as error:
        raise ValueError(f"the columns make no sense: {error}") from error


def _unpack(data: bytes) -> Columns:
    position = 4 + int.from_bytes(data[:4], "little")
    stated = json.loads(data[4:position])
    samples, members = stated["samples"], stated["members"]
    columns = []
    for length in (samples, samples, samples, samples, samples, members, members):
        column, position = _widen(data, position, length)
        columns.append(column)
    gaps, tails, skipped, key_sizes, schema, heads, sizes = columns
    if len(data) - position != stated["keys"]:
        raise ValueError("the columns make no sense: the keys are cut")
    schemas = tuple(tuple(suffixes) for suffixes in stated["schemas"])
    first_members = _sums(_ints([len(suffixes) for suffixes in schemas])[schema] if samples else _ints([]))
    extents = _sums(heads + sizes + -sizes % BLOCK)  # of members that follow one another
    lengths = extents[first_members[1:]] - extents[first_members[:-1]] + tails
    ends = np.cumsum(gaps + lengths)
    offsets = ends - lengths
    of_sample = np.repeat(offsets - extents[first_members[:-1]], np.diff(first_members))
    return Columns(
        offsets=offsets,
        ends=ends,
        ordinals=np.cumsum(skipped + 1) - 1,
        keys=data[position:],
        ends_of_keys=_sums(key_sizes),
        schemas=schemas,
        schema=schema,
        first_members=first_members,
        payloads=of_sample + extents[:-1] + heads,
        sizes=sizes,
    )


def _split(columns: Columns) -> tuple[Ints, Ints, Ints]:
    """From the end of a sample to the next; the headers of each member; what a sample has behind its last member."""
    gaps = columns.offsets - np.concatenate(([0], columns.ends[:-1])) if len(columns) else columns.offsets
    ends = columns.payloads + columns.sizes + -columns.sizes % BLOCK
    begins = np.concatenate(([0], ends[:-1])) if len(ends) else ends
    has_members = np.diff(columns.first_members) > 0
    begins[columns.first_members[:-1][has_members]] = columns.offsets[has_members]
    heads = columns.payloads - begins
    last = columns.offsets.copy()
    last[has_members] = ends[columns.first_members[1:][has_members] - 1]
    tails = columns.ends - last
    if any((numbers < 0).any() for numbers in (gaps, heads, tails)):
        raise ValueError("samples and their fields must follow one another in an archive")
    return gaps, heads, tails


def _ints(numbers: Sequence[int]) -> Ints:
    return np.array(numbers, dtype=np.int64)


def _sums(numbers: Ints) -> Ints:
    """The sum of none of them, of the first, of the first two, and so on."""
    return np.concatenate((_ints([0]), np.cumsum(numbers)))


def _narrow(numbers: Ints) -> bytes:
    """The width [bytes] that holds the largest, and the numbers."""
    most = int(numbers.max(initial=0))
    width = next(width for width in (1, 2, 4, 8) if most < 1 << 8 * width)
    return bytes([width]) + numbers.astype(f"<u{width}").tobytes()


def _widen(data: bytes, position: int, length: int) -> tuple[Ints, int]:
    width = data[position]
    position += 1
    if width not in (1, 2, 4, 8) or len(data) < position + width * length:
        raise ValueError("the columns make no sense: they are cut")
    return np.frombuffer(data, f"<u{width}", length, position).astype(np.int64), position + width * length
