"""Headers that are read many at a time: which these are, and that nobody can tell. The other tests compare it too, see conftest."""

import io
import sys
import tarfile
from functools import partial
from itertools import pairwise

import numpy as np  # noqa: F401 - headers are read many at a time where it is loaded
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncwds.tar import TarParser, find_run_reader

END = bytes(1024)
read_run = partial(find_run_reader(), least=512)
FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]
names = st.sampled_from(["a.x", "b.x", "d/c.x", "ä.x", "n" * 100, "é" * 60 + ".x", "long/" * 30 + "a.x", ""])
members = st.lists(st.tuples(names, st.sampled_from([0, 1, 511, 512, 600])), max_size=12)


def written(files, form, mtime):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for number, (name, size) in enumerate(files):
            if form == tarfile.USTAR_FORMAT and len(name.encode()) > 100:
                continue
            info = tarfile.TarInfo(name)
            info.size, info.mtime = size, mtime + number
            tar.addfile(info, io.BytesIO(b"%d" % number * size))
    return buffer.getvalue()


def read(data, cut, run, **options):
    """Members and errors of a parser that knows the forms of headers after the first chunk, and what shows between chunks."""
    parser = TarParser("u", read_run=run, **{"max_member_bytes": 1 << 30, **options})
    seen = []
    for begin, end in pairwise([0, *cut, len(data)]):
        parser.members_are_small = True
        seen += [parser.feed(data[begin:end]), parser.held, parser.open_member, parser.finished]
        seen += [parser.next_needed, parser.first_open]
    error = parser.finish()
    return [*seen, parser.cut_member, error and (type(error), str(error), error.offset)]


def taken(data, first, run=read_run, **options):
    """How many of the members behind the first chunk are read at once, and how many bytes."""
    counts = []

    def counting(chunk, pos, *args):
        stop, found = run(chunk, pos, *args)
        counts.append((len(found), stop - pos))
        return stop, found

    read(data, [first], counting, **options)
    return counts[-1]


def test_it_is_there_where_numpy_is(monkeypatch):
    assert find_run_reader() is not None
    monkeypatch.delitem(sys.modules, "numpy")
    assert find_run_reader() is None


def test_a_few_headers_are_not_worth_it(entry):
    plain = entry("a.x", b"1")
    assert taken(plain * 10, len(plain), run=find_run_reader()) == (0, 0)
    assert taken(plain * 40, len(plain), run=find_run_reader())[0] == 39


@pytest.mark.parametrize(("form", "mtime"), [(tarfile.USTAR_FORMAT, 1), (tarfile.GNU_FORMAT, 1), (tarfile.PAX_FORMAT, 1.5)])
def test_what_tarfile_and_webdataset_write_is_taken_whole(form, mtime):
    data = written([(f"{n}.x", n % 700) for n in range(100)], form, mtime)
    first = data.index(b"1.x\0") if mtime == 1 else data.index(b"@PaxHeader", 512) - len("././")
    count, nbytes = taken(data, first)
    assert (count, data[first + nbytes :].strip(b"\0")) == (99, b"")


@pytest.mark.parametrize(
    "odd",
    [
        {"kind": b"\0"},
        {"kind": b"5"},
        {"kind": b"L"},
        {"prefix": b"p"},
        {"magic": b"ustar  \0"},
        {"magic": bytes(8)},
        {"size_field": b"\x80" + bytes(10) + b"\1"},
        {"size_field": b" 1"},
        {"size_field": b"9"},
        {"size": 1001},
    ],
)
def test_every_other_header_is_left_to_the_parser(entry, header, odd):
    plain = entry("a.x", b"1")
    data = plain * 4 + header("b.x", **odd) + bytes(2048)
    assert taken(data, len(plain), max_member_bytes=1000) == (3, 3 * len(plain))


@pytest.mark.parametrize("place", [0, 99, 124, 130, 148, 153, 155, 200, 300])
def test_a_damaged_header_is_left_to_the_parser(entry, place):
    plain = entry("n" * 100, b"1")
    data = bytearray(plain * 5 + END)
    data[3 * len(plain) + place] ^= 0x41
    assert taken(bytes(data), len(plain)) == (2, 2 * len(plain))


@pytest.mark.parametrize(
    ("records", "count"),
    [
        ({"comment": "x"}, 3),
        ({"mtime": "1\n"}, 3),
        ({"mtime": "1", "path": "p"}, 1),
        ({"size": "1"}, 1),
        ({"GNU.sparse.size": "1"}, 1),
    ],
)
def test_extended_headers_that_mean_something_are_left_to_the_parser(entry, pax, records, count):
    plain = pax({"mtime": "1.5"}) + entry("a.x", b"1")
    data = plain * 2 + pax(records) + entry("b.x", b"2") + plain + END
    assert taken(data, len(plain))[0] == count


def test_an_archive_within_an_archive_ends_a_run(entry):
    plain, nested = entry("a.x", b"1"), entry("b.tar", entry("c.x", b"2"))
    assert taken(plain * 3 + nested + plain * 3 + END, len(plain))[0] == 3


@given(
    files=members,
    form=st.sampled_from(FORMATS),
    mtime=st.sampled_from([0, 1.5]),
    most=st.sampled_from([511, 1 << 30]),
    changes=st.lists(st.tuples(st.integers(0, 20_000), st.integers(1, 255)), max_size=2),
    cuts=st.lists(st.integers(0, 30), max_size=2),
    end=st.integers(0, 30_000),
    total=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_any_archive(files, form, mtime, most, changes, cuts, end, total):
    data = bytearray(written(files, form, mtime)[:end])
    for place, change in changes:
        if place < len(data):
            data[place] ^= change
    cut = sorted(512 * block for block in cuts if 512 * block < len(data))
    select = (lambda name: name != "b.x") if total else None
    options = {"max_member_bytes": most, "total": len(data) if total else None, "select": select}
    assert read(bytes(data), cut, read_run, **options) == read(bytes(data), cut, None, **options)
