"""Rows of samples that were read by their headers, or that are written. No I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter

from asyncwds.index.columns import Field, Row
from asyncwds.samples import Sample
from asyncwds.tar.grouping import base_plus_ext, is_meta
from asyncwds.tar.headers import BLOCK
from asyncwds.tar.members import Extent

ReadSample = tuple[str, int, int, tuple[tuple[str, int], ...]]
"""Key, ordinal, offset [bytes], and name and size [bytes] of each field."""


def row_of(sample: Sample) -> Row:
    """Of a sample that has an `Extent` for each field."""
    key, origin = sample["__key__"], sample.origin
    extents = [value for value in sample.values() if isinstance(value, Extent)]
    fields = tuple([Field(extent.name[len(key) + 1 :], extent.start, extent.stop - extent.start) for extent in extents])
    return Row(key, origin.ordinal, origin.offset, fields[-1].end, fields)


def rows_written(names: Sequence[str], sizes: Sequence[int], heads: Sequence[int]) -> Iterator[Row]:
    """Of an archive that was written, by the names of its members, their sizes, and what the headers of each take [bytes]."""
    ordinal, position = 0, 0
    members: list[tuple[str | None, int, Field]] = []
    for name, size, head in zip(names, sizes, heads, strict=True):
        key = None if is_meta(name) else base_plus_ext(name)[0]
        field = Field(name[len(key or "") + 1 :], position + head, size)
        members.append((key, position, field))
        position = field.end
    for key, group in groupby(members, key=itemgetter(0)):
        if key is not None:
            found = list(group)
            yield Row(key, ordinal, found[0][1], found[-1][2].end, tuple([field for _, _, field in found]))
            ordinal += 1


def rows_read(samples: Sequence[ReadSample], payloads: Mapping[int, int]) -> list[Row] | None:
    """Of samples that were read, all of a shard. `payloads` has their offsets, by that of the member's first header, where headers
    take more than a block. None where other members lie between: then it is not known where payloads are.
    """
    rows: list[Row] = []
    for key, ordinal, offset, sizes in samples:
        if rows and rows[-1].end != offset:
            return None
        fields, position = [], offset
        for name, size in sizes:
            fields.append(Field(name, payloads.get(position, position + BLOCK), size))
            position = fields[-1].end
        rows.append(Row(key, ordinal, offset, position, tuple(fields)))
    return rows
