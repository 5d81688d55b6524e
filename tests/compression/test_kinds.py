"""Archives that are compressed while they are written."""

import bz2
import gzip
import lzma
import sys
from collections.abc import Callable

import pytest

from asyncwds.compression import KINDS, SUFFIXES, suffix_to_write
from asyncwds.errors import SpecError

ZST = pytest.param("zst", marks=pytest.mark.needs("zstandard"))
LZ4 = pytest.param("lz4", marks=pytest.mark.needs("lz4"))


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz", ZST, LZ4])
def test_what_is_compressed_unpacks(kind: str) -> None:
    unpack: dict[str, Callable[[bytes], bytes]] = {"gz": gzip.decompress, "bz2": bz2.decompress, "xz": lzma.decompress}
    if kind == "zst":
        import zstandard

        unpack["zst"] = lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data)
    if kind == "lz4":
        from lz4 import frame

        unpack["lz4"] = frame.decompress
        assert unpack["lz4"](KINDS["lz4"].compressor().flush()) == b""
    first, second = KINDS[SUFFIXES[kind]].compressor(), KINDS[SUFFIXES[kind]].compressor()
    data = first.compress(b"abc" * 1000) + first.compress(b"") + first.compress(b"def") + first.flush()
    assert unpack[kind](data) == b"abc" * 1000 + b"def"
    assert data == second.compress(b"abc" * 1000) + second.compress(b"def") + second.flush()


@pytest.mark.parametrize(
    ("compress", "name", "kind"),
    [
        (None, None, None),
        (None, "a.tar", None),
        (None, "a.tar.gz", "gz"),
        (None, "a.tgz", "gz"),
        (None, "a.tar.bz2", "bz2"),
        (None, "a.tar.xz", "xz"),
        (None, "a.tar.zst", "zst"),
        (None, "a.tar.lz4", "lz4"),
        (False, "a.tar.gz", None),
        (True, "a.tar", "gz"),
        (True, "a.tar.xz", "gz"),
        ("gz", None, "gz"),
        ("bz2", "a.tar.gz", "bz2"),
        ("xz", None, "xz"),
        ("zst", None, "zst"),
        ("zstd", None, "zst"),
    ],
)
def test_kinds(compress: bool | str | None, name: str | None, kind: str | None) -> None:
    assert suffix_to_write(compress, name) == kind


@pytest.mark.parametrize("compress", ["lzo", "GZ", ""])
def test_unknown_kinds(compress: str) -> None:
    with pytest.raises(SpecError, match="compress must be"):
        suffix_to_write(compress, "a.tar")


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="the standard library has zstd")
def test_zst_without_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(SpecError, match=r"asyncwds\[zstd\]"):
        KINDS["zstd"].compressor()
