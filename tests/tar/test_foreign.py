"""What is no tar archive and no compression that is read is named, with what would do; in no error are Python's own words."""

from __future__ import annotations

import io
import lzma
import zipfile
import zlib

import pytest

from asyncwds.compression.foreign import foreign
from asyncwds.errors import TarError, TarHeaderError
from asyncwds.testing import make_samples, make_shard

SHARD = make_shard(make_samples(8, size=700))
END = bytes(1024)


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


COMPRESSED = {
    "compress (.Z)": (b"\x1f\x9d\x90" + b"a\2" * 300, "gzip -dc"),
    "pack (.z)": (b"\x1f\x1e\0\0\2\1", "gzip -dc"),
    "lz4 (legacy frames)": (b"\x02\x21\x4c\x18\x10\0\0\0" + b"data" * 4, "lz4 -dc"),
    "lzip": (b"LZIP\1\x0c" + b"data" * 300, "lzip -dc"),
    "lzop": (b"\x89LZO\0\r\n\x1a\n\x10\x40" + b"data" * 200, "lzop -dc"),
    "lrzip": (b"LRZI\0\6" + b"data" * 200, "lrzcat"),
    "snappy (framed)": (b"\xff\6\0\0sNaPpY\1\5" + b"data" * 200, "snzip -dc"),
    "lzma": (lzma.compress(SHARD, format=lzma.FORMAT_ALONE), "xz -dc"),
    "zlib (without gzip's header)": (zlib.compress(SHARD), "pigz -dcz"),
}


@pytest.mark.parametrize("kind", COMPRESSED)
def test_compressions_that_are_not_read(parse, kind):
    data, command = COMPRESSED[kind]
    for cut in (data, data[:20], data[:700]):
        members, error = parse(cut)
        assert members == []
        assert type(error) is TarHeaderError
        assert error.message.startswith(f"this is compressed with {kind}, which is not read: ")
        assert f"'pipe:{command} FILE'" in error.message
        assert error.offset == 0


@pytest.mark.parametrize("preset", range(10))
@pytest.mark.parametrize("literal", [{}, {"lc": 0, "lp": 2, "pb": 0}])
def test_lzma_files_have_no_magic_and_are_told_by_their_settings(preset, literal):
    data = lzma.compress(SHARD, format=lzma.FORMAT_ALONE, filters=[{"id": lzma.FILTER_LZMA1, "preset": preset, **literal}])
    assert "compressed with lzma," in (foreign(data[:13]) or "")
    assert foreign(data[:12]) is None


OTHERS = [
    (b"<!DOCTYPE html>", "an HTML or XML page"),
    (b"\xef\xbb\xbf\r\n <?xml version='1.0'?><Error>", "an HTML or XML page"),
    (b'{"error": 404}', "JSON text"),
    (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
    (zipped({"a.txt": b"1"}), "a zip archive"),
    (zipped({}), "a zip archive without files"),
    (b"7z\xbc\xaf\x27\x1c\0\4", "a 7z archive"),
    (b"Rar!\x1a\7\1\0", "a rar archive"),
    (b"!<arch>\ndebian-binary", "an ar archive"),
    (b"07070100000000", "a cpio archive"),
    (b"PAR1\x15\4", "a Parquet file"),
    (b"ARROW1\0\0", "an Arrow file"),
    (b"\x89HDF\r\n\x1a\n\0", "an HDF5 file"),
]


@pytest.mark.parametrize(("head", "what"), OTHERS)
@pytest.mark.parametrize("size", [0, 5000])
def test_other_files(parse, head, what, size):
    _, error = parse(head.ljust(size))
    assert type(error) is TarHeaderError
    assert error.message.startswith(f"this is {what}, not a tar archive")


@pytest.mark.parametrize("head", [b"", b"abc", b"\0" * 20, b"]\0\0\0\0\0\0\0\0\0\0\0\0\0"])
def test_what_is_not_known(head):
    assert foreign(head) is None


def test_a_member_may_have_any_name(parse, entry):
    for raw in [data for data, _ in COMPRESSED.values()] + [head for head, _ in OTHERS]:
        name = raw[:90]
        assert parse(entry(name, b"1") + END)[1] is None


PYTHONS = ("invalid literal", "base 8", "subsection", "int()", "Exceeds", "b'", "codec", "Error -")


@pytest.mark.parametrize("field", [b"junk", b"0000000009", b"-1", b"\xff\xfe\x9b31m", b"1 1", b"\x81" + b"\1" * 11])
def test_sizes_that_are_none(parse, entry, header, field):
    _, error = parse(entry("a.txt", b"1") + header("b.txt", size_field=field) + END)
    check(error)


@pytest.mark.parametrize(
    "body",
    [b"junk", b"99 path=a\n", b"x path=a\n", b" path=a\n", b"9" * 5000, b"9" * 19 + b" a=b\n", b"13 size=junk\n"],
)
@pytest.mark.parametrize("kind", [b"x", b"g"])
def test_extended_headers_that_make_no_sense(parse, entry, body, kind):
    _, error = parse(entry("x", body, kind) + entry("a.txt", b"1") + END)
    check(error)


def test_a_size_of_thousands_of_digits(parse, entry, pax):
    for digits in ("9" * 21, "9" * 5000):
        _, error = parse(pax({"size": digits}) + entry("a.txt", b"1") + END)
        check(error)


def check(error: TarError | None) -> None:
    assert isinstance(error, TarHeaderError)
    assert [words for words in PYTHONS if words in str(error)] == []
    assert "makes no sense" in str(error)


def test_a_file_that_is_nothing_known_may_be_no_archive(parse):
    _, error = parse(b"\xff\xd8\xff\xe0" + bytes(range(256)) * 4)  # an image
    assert error.message == "the checksum of a header is wrong; is this a tar archive?"
    damaged = bytearray(SHARD)
    damaged[0] ^= 1
    _, error = parse(bytes(damaged))
    assert error.message == "the checksum of a header is wrong"
