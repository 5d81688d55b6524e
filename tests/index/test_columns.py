"""Columns of a shard's samples: what goes in comes out, in little room."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncwds.index import Field, Row, columns_of, pack, unpack


def laid_out(sizes, *, head=512, gap=0, first=0):
    """Rows of an archive whose samples have fields of these sizes."""
    rows, position = [], first
    for ordinal, fields in enumerate(sizes):
        offset = position
        members = []
        for number, size in enumerate(fields):
            position += head
            members.append(Field(f"f{number}", position, size))
            position = members[-1].end
        rows.append(Row(f"key/{ordinal:05}", ordinal, offset, position, tuple(members)))
        position += gap
    return rows


SIZES = st.lists(st.lists(st.integers(0, 1 << 40), max_size=4), max_size=30)


@given(SIZES, st.sampled_from([512, 1536]), st.integers(0, 3), st.integers(0, 1 << 45))
def test_rows_come_back(sizes, head, gap, first):
    rows = laid_out(sizes, head=head, gap=512 * gap, first=512 * first)
    columns = unpack(pack(columns_of(rows)))
    assert list(map(columns.__getitem__, range(len(columns)))) == rows


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [Row("", 0, 0, 1024, ()), Row("", 1, 1024, 4096, ())],  # of an index that knows offsets alone
        [Row("a", 0, 512, 1536, (Field("TXT", 1024, 1),)), Row("b", 7, 1536, 9728, (Field("TXT", 2048, 2),))],
        [Row("half\udcff", 3, 0, 1024, (Field("é", 512, 0),))],
        [Row("k" * 3000, 0, 0, 1024, (Field("a", 512, 512),)), Row("k", 1, 1024, 2048, (Field("a", 1536, 512),))],
    ],
)
def test_unusual_rows_come_back(rows):
    columns = unpack(pack(columns_of(rows)))
    assert list(map(columns.__getitem__, range(len(columns)))) == rows


def test_a_sample_takes_a_few_bytes():
    rows = laid_out([[110_000 + 7919 * n % 30_011, 3] for n in range(2000)])
    keys = len(zlib.compress("".join(row.key for row in rows).encode()))
    assert (len(pack(columns_of(rows))) - keys) / len(rows) < 5


@pytest.mark.parametrize(
    "rows",
    [
        [Row("a", 0, 0, 2048, (Field("x", 512, 1),)), Row("b", 1, 1024, 3072, (Field("x", 2560, 1),))],
        [Row("a", 0, 0, 2048, (Field("x", 512, 700), Field("y", 1024, 1)))],
        [Row("a", 0, 0, 512, (Field("x", 512, 1),))],
    ],
)
def test_samples_that_overlap_are_refused(rows):
    with pytest.raises(ValueError, match="follow one another"):
        columns_of(rows)


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-9], lambda data: b"", lambda data: zlib.compress(zlib.decompress(data)[:-3])]
)
def test_damage_is_an_error(damage):
    with pytest.raises(ValueError, match=r"make no sense|Expecting value"):
        unpack(damage(pack(columns_of(laid_out([[1], [2, 3]])))))
