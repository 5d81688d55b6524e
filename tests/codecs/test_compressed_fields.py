from __future__ import annotations

import bz2
import gzip
import json
import lzma
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncwds import Continue, Decoder, gzfilter, handle_extension
from asyncwds.compression import SUFFIXES, unpack_field
from asyncwds.errors import DecodeError


def zst(data: bytes) -> bytes:
    import zstandard

    return zstandard.ZstdCompressor().compress(data)


def lz4(data: bytes) -> bytes:
    from lz4 import frame

    return frame.compress(data)


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gz": partial(gzip.compress, mtime=0),
    "zst": zst,
    "xz": lzma.compress,
    "bz2": bz2.compress,
    "lz4": lz4,
}
MARKS = {"zst": [pytest.mark.needs("zstandard")], "lz4": [pytest.mark.needs("lz4")]}
EACH = pytest.mark.parametrize("suffix", [pytest.param(suffix, marks=MARKS.get(suffix, [])) for suffix in PACKERS])


def decode(field: str, data: bytes, *handlers: Any, **options: Any) -> Any:
    return Decoder(handlers, **options)({"__key__": "k", field: data})[field]


@EACH
def test_what_is_inside_is_decoded_by_the_suffix_before(suffix: str, encoded: Callable[..., bytes]) -> None:
    pack = PACKERS[suffix]
    array = BytesIO()
    np.save(array, np.arange(5))
    assert decode(f"json.{suffix}", pack(b'{"a": null}')) == {"a": None}
    assert decode(f"a.b.TXT.{suffix}", pack(b"x")) == "x"
    assert np.array_equal(decode(f"npy.{suffix}", pack(array.getvalue())), np.arange(5))
    assert decode(f"ppm.{suffix}", pack(encoded("RGB", "ppm")), "rgb8").shape == (24, 40, 3)
    assert decode(f"other.{suffix}", pack(b"\xff")) == b"\xff"
    assert decode(suffix, pack(b"\xff")) == b"\xff"
    assert decode(f"json.{suffix}.{suffix}", pack(pack(b"null"))) is None


@EACH
def test_a_bomb_is_an_error(suffix: str) -> None:
    bomb = PACKERS[suffix](b"\0" * 1_000_000)
    assert len(bomb) < 5000
    with pytest.raises(DecodeError, match="more than 999999 bytes") as caught:
        decode(f"txt.{suffix}", bomb, max_unpacked=999_999)
    assert (caught.value.field, caught.value.key) == (f"txt.{suffix}", "k")
    assert len(decode(f"txt.{suffix}", bomb, max_unpacked=1_000_000)) == 1_000_000


@EACH
def test_what_is_cut_or_corrupt_is_an_error(suffix: str) -> None:
    data = PACKERS[suffix](json.dumps(list(range(1000))).encode())
    for broken in (data[:-3], data[: len(data) // 2], data[:5]):
        with pytest.raises(DecodeError, match="ends too early"):
            decode(f"json.{suffix}", broken)
    with pytest.raises(DecodeError, match="is corrupt"):
        decode(f"json.{suffix}", b"junk" * 9)
    with pytest.raises(DecodeError, match="is corrupt"):
        decode(f"json.{suffix}", data + b"junk" * 9)


@EACH
@given(pieces=st.lists(st.binary(max_size=300), max_size=3), padding=st.integers(0, 3))
@settings(max_examples=20)
def test_streams_one_after_the_other_are_one_content(suffix: str, pieces: list[bytes], padding: int) -> None:
    data = b"".join(PACKERS[suffix](piece) + b"\0" * padding for piece in pieces)
    assert unpack_field(SUFFIXES[suffix], data) == b"".join(pieces)


@given(st.binary(max_size=100))
@settings(max_examples=200)
@pytest.mark.parametrize("suffix", ["gz", "xz", "bz2"])
def test_any_bytes_are_unpacked_or_refused(suffix: str, data: bytes) -> None:
    with suppress(ValueError, EOFError):
        unpack_field(SUFFIXES[suffix], data, 1000)


def test_gzfilter() -> None:
    bomb = gzip.compress(b"\0" * 100_000)
    with pytest.raises(ValueError, match="more than 99999 bytes"):
        gzfilter(".txt.gz", bomb, max_bytes=99_999)
    assert gzfilter(".txt.gz", bomb, max_bytes=100_000) == Continue(".txt", b"\0" * 100_000)
    assert gzfilter(".txt", bomb) is None


def test_own_handlers_see_packed_fields_first() -> None:
    """As with WebDataset, which unpacks gzip only, and that before all handlers."""
    data = lzma.compress(b"[1]")
    assert decode("json.xz", data, handle_extension("json.xz", len)) == len(data)
    assert decode("json.xz", data, handle_extension("xz", len)) == len(data)
    assert decode("json.xz", data, handle_extension("json", len)) == 3
    assert decode("json.xz", data, decoders={"xz": len}) == len(data)
    packed = gzip.compress(b"[1]")
    assert decode("json.gz", packed, handle_extension("gz", len), handle_extension("json", len)) == 3


def test_pre_replaces_all_unpacking() -> None:
    for suffix, pack in (("xz", lzma.compress), ("gz", gzip.compress)):
        assert decode(f"txt.{suffix}", pack(b"x"), pre=[]) == pack(b"x")
