"""Headers that are built by hand are those of the standard library, and what needs an extended header gets one."""

import io
import tarfile
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncwds.errors import SampleError, SpecError
from asyncwds.tar import RECORD, Headers, TarParser, ending

OWNER: dict[str, Any] = {"user": "bigdata", "group": "bigdata", "mode": 0o444}
FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]
names = st.text("ab/é._-\udcff", min_size=1, max_size=300).filter(lambda name: not name.endswith("/"))
sizes = st.sampled_from([0, 1, 511, 512, 2**33 - 1]) | st.integers(0, 2**33 - 1)


def headers(kind: int | None = None, mtime: float | None = 0, **owner: Any) -> Headers:
    return Headers(**(OWNER | owner), mtime=mtime, format=kind)


def info(name: str, size: int, mtime: float = 0) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.size, made.mtime, made.mode, made.uname, made.gname = size, mtime, 0o444, "bigdata", "bigdata"
    return made


def read_back(header: bytes) -> tarfile.TarInfo:
    read = tarfile.TarFile(fileobj=io.BytesIO(header + ending(0)), encoding="utf-8", errors="surrogateescape").next()
    assert read is not None
    return read


@given(st.text("abc/._-", min_size=1, max_size=100), sizes, st.integers(0, 2**31), st.sampled_from([None, *FORMATS]))
def test_a_plain_header_is_the_standard_librarys(name: str, size: int, mtime: int, kind: int | None) -> None:
    expected = info(name, size, mtime).tobuf(tarfile.USTAR_FORMAT if kind is None else kind)
    assert headers(kind, mtime)(name, size) == expected


@given(names, st.integers(0, 2**40), st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]))
def test_a_format_that_is_asked_for_is_tarfiles(name: str, size: int, kind: int) -> None:
    assert headers(kind)(name, size) == info(name, size).tobuf(kind, "utf-8", "surrogateescape")


@given(names, st.integers(0, 2**40))
def test_by_default_every_name_and_size_comes_back(name: str, size: int) -> None:
    header = headers()(name, size)
    read = read_back(header)
    assert (read.name, read.size, read.mode, read.uname) == (name, size, 0o444, "bigdata")
    assert len(header) == 512 or not name.isascii() or len(name) > 100 or size >= 2**33


@given(names)
def test_our_own_parser_reads_every_name(name: str) -> None:
    parser = TarParser("x", max_member_bytes=0)
    assert [found for found, _, _ in parser.feed(headers()(name, 0) + ending(512))] == [name]


@pytest.mark.parametrize(
    ("name", "size", "length"),
    [
        ("a" * 100, 0, 512),
        ("a" * 101, 0, 512 * 3),
        ("d" * 150 + "/" + "a" * 100, 0, 512),
        ("d" * 156 + "/" + "a" * 100, 0, 512 * 3),
        ("/" + "a" * 100, 0, 512 * 3),
        ("é", 0, 512 * 3),
        ("a", 2**33 - 1, 512),
        ("a", 2**33, 512 * 3),
    ],
)
def test_an_extended_header_only_where_it_is_needed(name: str, size: int, length: int) -> None:
    header = headers()(name, size)
    assert len(header) == length
    assert (read_back(header).name, read_back(header).size) == (name, size)


@pytest.mark.parametrize(("name", "size"), [("a" * 101, 0), ("a", 2**33)])
def test_what_a_strict_ustar_cannot_hold(name: str, size: int) -> None:
    with pytest.raises(SampleError, match="cannot hold"):
        headers(tarfile.USTAR_FORMAT)(name, size)


def test_times(monkeypatch: pytest.MonkeyPatch) -> None:
    now = headers(mtime=None)
    for seconds in (1e9, 1e9 + 0.6, 1e9 + 1):
        monkeypatch.setattr(time, "time", lambda seconds=seconds: seconds)
        assert now("a", 3) == info("a", 3, int(seconds)).tobuf(tarfile.USTAR_FORMAT)
    assert headers(mtime=1.5)("a", 3) == info("a", 3, 1).tobuf(tarfile.USTAR_FORMAT)
    assert read_back(headers(tarfile.PAX_FORMAT, 1.5)("a", 3)).mtime == 1.5


def test_owners_that_fit_into_no_plain_header() -> None:
    read = read_back(headers(user="jürgen", group="g" * 40)("a", 3))
    assert (read.name, read.uname, read.gname) == ("a", "jürgen", "g" * 40)


@pytest.mark.parametrize("owner", [{"user": None}, {"mode": "r"}, {"user": 5}])
def test_owners_that_are_none(owner: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match="no header can hold"):
        headers(**owner)


@pytest.mark.parametrize("position", [0, 512, RECORD - 1024, RECORD - 512, RECORD])
def test_the_end_of_an_archive(position: int) -> None:
    end = ending(position)
    assert end.strip(b"\0") == b""
    assert (position + len(end)) % RECORD == 0
    assert 1024 <= len(end) < 1024 + RECORD
