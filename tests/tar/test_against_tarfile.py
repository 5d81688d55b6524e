"""tarfile reads the same archives: same names, payloads and, in its order, the same members."""

import io
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
KINDS = [tarfile.REGTYPE, tarfile.CONTTYPE, tarfile.DIRTYPE, tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.FIFOTYPE]

Item = tuple[str, bytes, bytes, float, str]  # name, payload, type, mtime, uname

# Any names but those that tarfile itself changes when it reads: it cuts slashes off the end.
letters = st.characters(exclude_characters="\0\n", exclude_categories=["Cs"])
folders = st.text(st.sampled_from("abc/"), min_size=90, max_size=150)
names = st.one_of(
    st.text(st.sampled_from("ab._/é"), min_size=1, max_size=12),
    st.text(letters, min_size=1, max_size=300),
    st.binary(min_size=1, max_size=20).map(lambda raw: raw.replace(b"\0", b"x").decode("utf-8", "surrogateescape")),
    st.builds("{}/{}".format, folders, st.text(st.sampled_from("xyz"), min_size=90, max_size=100)),
).filter(lambda name: not name.endswith("/"))
payloads = st.one_of(st.binary(max_size=40), st.integers(505, 520).map(lambda n: b"p" * n), st.integers(0, 3000).map(bytes))
types = st.sampled_from([tarfile.REGTYPE] * 6 + KINDS)
times = st.one_of(st.just(0), st.just(1_700_000_000), st.floats(0, 2e9), st.integers(0, 2**33))
entries = st.lists(st.tuples(names, payloads, types, times, st.sampled_from(["", "user", "ü" * 40])), max_size=6)


def written(items: list[Item], layout: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=layout, errors="surrogateescape") as tar:
        for name, data, kind, mtime, uname in items:
            info = tarfile.TarInfo(name)
            info.type, info.mtime, info.uname, info.linkname = kind, mtime, uname, "else/where" * 15 if kind in (b"1", b"2") else ""
            info.size = len(data) if info.isreg() else 0
            try:
                tar.addfile(info, io.BytesIO(data))
            except ValueError:
                continue  # this format cannot hold the name
        end = tar.offset + 1024
    return buffer.getvalue()[:end]  # without the zeros that fill up a record


def read_by_tarfile(data: bytes) -> list[tuple[str, bytes, int]]:
    with tarfile.open(fileobj=io.BytesIO(data), errors="surrogateescape", encoding="utf-8") as tar:
        return [(info.name, tar.extractfile(info).read(), info.offset) for info in tar if info.isreg()]


@pytest.mark.parametrize("layout", FORMATS)
@given(items=entries)
@settings(max_examples=40, deadline=None)
def test_reads_what_tarfile_reads(parse, layout, items):
    data = written(items, FORMATS[layout])
    members, error = parse(data, total=len(data))
    assert error is None
    assert members == read_by_tarfile(data)


@given(parts=st.lists(st.tuples(entries, st.sampled_from(list(FORMATS.values()))), min_size=1, max_size=3))
@settings(max_examples=20, deadline=None)
def test_concatenated_archives_are_one(parse, parts):
    archives = [written(items, layout) for items, layout in parts]
    members, error = parse(b"".join(archives))
    assert error is None
    assert [(name, data) for name, data, _ in members] == [
        (name, data) for tar in archives for name, data, _ in read_by_tarfile(tar)
    ]


def test_global_headers_hold_until_the_end_of_their_archive(parse, archive):
    buffer = io.BytesIO()
    with tarfile.open(
        fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "abc", "path": "all.txt"}
    ) as tar:
        tar.addfile(tarfile.TarInfo("one.txt"))
    first = buffer.getvalue()
    assert [name for name, _, _ in parse(first)[0]] == [name for name, _, _ in read_by_tarfile(first)] == ["all.txt"]
    assert [name for name, _, _ in parse(first + archive({"two.txt": b""}))[0]] == ["all.txt", "two.txt"]
