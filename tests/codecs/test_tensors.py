"""tenbin: what is written comes back, webdataset reads it and is read, and nothing that is broken gets through."""

import struct
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from asyncwds import tenbin
from asyncwds.errors import DecodeError, EncodeError, SpecError

DTYPES = ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"]
SHAPES = [(), (0,), (1,), (3,), (0, 4), (2, 3), (1, 2, 3, 4, 1, 1, 1, 1, 2)]
array = st.sampled_from(DTYPES).flatmap(lambda dtype: arrays.arrays(dtype, arrays.array_shapes(min_dims=0, max_dims=4, min_side=0)))


def same(found: list[Any], expected: list[Any]) -> None:
    assert [(a.dtype, a.shape, a.tobytes()) for a in found] == [(a.dtype, a.shape, a.tobytes()) for a in expected]


def chunk(data: bytes, size: int | None = None, magic: bytes = b"~TenBin~") -> bytes:
    return magic + struct.pack("<q", len(data) if size is None else size) + data + bytes(-len(data) % 64)


def header(dtype: bytes = b"u1", info: bytes = b"", shape: tuple[int, ...] = (3,), dimensions: int | None = None) -> bytes:
    return struct.pack(f"<8s8sq{len(shape)}q", dtype, info, len(shape) if dimensions is None else dimensions, *shape)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_arrays_come_back(dtype: str, shape: tuple[int, ...]) -> None:
    given_arrays = [np.arange(np.prod(shape, dtype=int)).astype(dtype).reshape(shape), np.ones((2, 2), dtype)]
    same(tenbin.decode_buffer(tenbin.encode_buffer(given_arrays)), given_arrays)


@given(st.lists(array, max_size=4))
def test_any_arrays_come_back(given_arrays: list[Any]) -> None:
    same(tenbin.decode_buffer(tenbin.encode_buffer(given_arrays)), given_arrays)
    same(tenbin.decode_list(tenbin.encode_list(given_arrays)), given_arrays)
    stream = BytesIO()
    tenbin.write(stream, given_arrays)
    assert stream.getvalue() == tenbin.encode_buffer(given_arrays)
    stream.seek(0)
    same(tenbin.read(stream), given_arrays)


@pytest.mark.parametrize(
    "array",
    [np.arange(6, dtype=">f4"), np.arange(12, dtype="i2").reshape(3, 4).T, np.arange(10, dtype="u4")[::3]],
    ids=["big-endian", "transposed", "strided"],
)
def test_layouts_are_normalised(array: Any) -> None:
    same(tenbin.decode_buffer(tenbin.encode_buffer([array])), [np.ascontiguousarray(array, array.dtype.newbyteorder("<"))])


@pytest.mark.needs("torch")
def test_tensors_are_arrays() -> None:
    import torch

    same(tenbin.decode_buffer(tenbin.encode_buffer([torch.arange(4)])), [np.arange(4)])
    with pytest.raises(EncodeError, match="grad"):
        tenbin.encode_buffer([torch.ones(3, requires_grad=True)])


def test_infos() -> None:
    two = [np.zeros(1), np.zeros(2)]
    buffer = tenbin.encode_buffer(two, infos=["image", "label"])
    assert tenbin.decode_buffer(buffer, infos=True)[1] == ["image", "label"]
    same(tenbin.decode_buffer(buffer, infos=["image", "label"]), two)
    with pytest.raises(DecodeError, match="the infos are"):
        tenbin.decode_buffer(buffer, infos=["label", "image"])
    assert tenbin.decode_buffer(tenbin.encode_buffer(two, infos=["all"]), infos=True)[1] == ["all", "all"]


def test_views_of_the_buffer() -> None:
    buffer = bytearray(tenbin.encode_buffer([np.zeros(3, "u1")]))
    [view] = tenbin.decode_buffer(buffer)
    view[0] = 7
    assert tenbin.decode_buffer(buffer)[0][0] == 7
    assert not tenbin.decode_buffer(bytes(buffer))[0].flags.writeable


@pytest.mark.parametrize(
    ("value", "infos", "message"),
    [
        (np.zeros(1), None, "needs a list"),
        ([np.array(["a"])], None, "no dtype <U1"),
        ([np.zeros(1, bool)], None, "no dtype bool"),
        ([np.zeros((1,) * 10)], None, "9 dimensions"),
        ([[[1], [2, 3]]], None, "no array"),
        ([np.zeros(1)], ["nine char"], "8 ASCII"),
        ([np.zeros(1)], ["é"], "8 ASCII"),
        ([np.zeros(1)] * 3, ["a", "b"], "2 infos for 3 arrays"),
    ],
)
def test_what_cannot_be_written(value: Any, infos: Any, message: str) -> None:
    with pytest.raises(EncodeError, match=message):
        tenbin.encode_buffer(value, infos)


BROKEN: dict[str, tuple[bytes, str]] = {
    "no frame": (b"~TenBin", "in the middle of a chunk's frame"),
    "wrong magic": (chunk(header(), magic=b"~TenBin!") + chunk(b"abc"), "begins with"),
    "negative size": (chunk(b"", -1), "declares -1 bytes"),
    "too large": (chunk(header(), 1 << 60), "declares 1152921504606846976 bytes"),
    "cut": ((chunk(header()) + chunk(b"abc"))[:-1], "and 63 are left"),
    "header only": (chunk(header()), "a header and no data"),
    "short header": (chunk(b"u1") + chunk(b"abc"), "a header of 2 bytes"),
    "more dimensions than header": (chunk(header(dimensions=2)) + chunk(b"abc"), "with 2 dimensions"),
    "negative dimensions": (chunk(header(dimensions=-1)) + chunk(b"abc"), "with -1 dimensions"),
    "ten dimensions": (chunk(header(shape=(1,) * 10)) + chunk(b"a"), "with 10 dimensions"),
    "absurd dimensions": (chunk(header(dimensions=1 << 62)) + chunk(b"abc"), "dimensions"),
    "unknown dtype": (chunk(header(b"O8")) + chunk(b"abc"), "unknown dtype 'O8'"),
    "dtype of nothing": (chunk(header(b"")) + chunk(b"abc"), "unknown dtype ''"),
    "dtype no text": (chunk(header(b"\xff")) + chunk(b"abc"), "not ASCII"),
    "info no text": (chunk(header(info=b"\xff")) + chunk(b"abc"), "not ASCII"),
    "less data than shape": (chunk(header()) + chunk(b"ab"), r"2 bytes of data for shape \(3,\) of u1"),
    "more data than shape": (chunk(header()) + chunk(b"abcd"), "4 bytes of data"),
    "negative shape": (chunk(header(shape=(-1, -3))) + chunk(b"abc"), "3 bytes of data"),
    "shape that overflows": (chunk(header(shape=(1 << 32, 1 << 32))) + chunk(b""), "0 bytes of data"),
    "empty, of absurd shape": (chunk(header(b"f8", shape=(0, 1 << 62, 1 << 62))) + chunk(b""), "no sound tenbin"),
}


@pytest.mark.parametrize(("data", "message"), BROKEN.values(), ids=BROKEN.keys())
@pytest.mark.parametrize("decode", [tenbin.decode_buffer, lambda data: tenbin.read(BytesIO(data))], ids=["buffer", "stream"])
def test_what_is_broken(data: bytes, message: str, decode: Callable[[bytes], Any]) -> None:
    with pytest.raises(DecodeError, match="no sound tenbin") as caught:
        decode(data)
    if decode is tenbin.decode_buffer:
        assert caught.match(message)


def test_a_declared_size_takes_no_memory(tmp_path: Path) -> None:
    (tmp_path / "a.ten").write_bytes(chunk(b"abc", 1 << 50))
    with pytest.raises(DecodeError, match="and 64 are left"):
        tenbin.load(tmp_path / "a.ten")


@given(st.lists(array, min_size=1, max_size=2), st.data())
def test_damage_is_a_decode_error_or_other_arrays(given_arrays: list[Any], data: st.DataObject) -> None:
    damaged = bytearray(tenbin.encode_buffer(given_arrays))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, min(len(damaged), 200) - 1))] = data.draw(st.integers(0, 255))
    damaged = damaged[: data.draw(st.integers(0, len(damaged)))]
    try:
        found = tenbin.decode_buffer(bytes(damaged))
    except DecodeError:
        return
    assert sum(one.nbytes for one in found) <= len(damaged)


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "a.ten"
    tenbin.save(str(path), np.arange(3), np.ones((2, 2)), infos=["a", "b"])
    same(tenbin.load(path), [np.arange(3), np.ones((2, 2))])
    with pytest.raises(SpecError, match=r"end in \.ten"):
        tenbin.save(tmp_path / "a.bin", np.arange(3))
    with pytest.raises(SpecError, match=r"end in \.ten"):
        tenbin.load(tmp_path / "a.bin")
    tenbin.save(tmp_path / "a.bin", np.arange(3), nocheck=True)
    same(tenbin.load(tmp_path / "a.bin", nocheck=True), [np.arange(3)])


def test_a_stream_goes_on_after_some_arrays() -> None:
    stream = BytesIO(tenbin.encode_buffer([np.arange(3), np.arange(4), np.arange(5)]))
    same(tenbin.read(stream, 1), [np.arange(3)])
    same(tenbin.read(stream), [np.arange(4), np.arange(5)])
    same(tenbin.read(stream), [])


@pytest.mark.needs("webdataset")
@pytest.mark.parametrize("dtype", [dtype for dtype in DTYPES if dtype != "u4"])
@pytest.mark.parametrize("shape", SHAPES[1:], ids=str)
def test_webdataset_reads_it_and_is_read(dtype: str, shape: tuple[int, ...]) -> None:
    from webdataset import tenbin as theirs

    given_arrays = [np.arange(np.prod(shape)).astype(dtype).reshape(shape), np.ones((2, 2), dtype)]
    assert tenbin.encode_buffer(given_arrays, infos=["a", "b"]) == bytes(theirs.encode_buffer(given_arrays, infos=["a", "b"]))
    same(theirs.decode_buffer(tenbin.encode_buffer(given_arrays)), given_arrays)
    same(tenbin.decode_buffer(bytes(theirs.encode_buffer(given_arrays))), given_arrays)


@pytest.mark.needs("webdataset")
def test_webdataset_has_no_uint32(tmp_path: Path) -> None:
    from webdataset import tenbin as theirs

    with pytest.raises(ValueError, match="unsupported array type"):
        theirs.encode_buffer([np.zeros(1, "u4")])
    with pytest.raises(TypeError, match="unit32"):
        theirs.decode_buffer(tenbin.encode_buffer([np.zeros(1, "u4")]))
