"""tenbin: lists of arrays as bytes that can be used in place, read and written as webdataset 1.0.2 does.

    file    chunk …, two for each array: its header, its data
    chunk   "~TenBin~", length [bytes] as int64, so many bytes, zeros up to a multiple of 64
    header  dtype and info as 8 ASCII bytes each (padded with zeros), number of dimensions and each of them as int64
    dtype   f2 f4 f8 i1 i2 i4 i8 u1 u2 u4 u8; all numbers are little-endian, data in C order

The info is a name or a remark of up to 8 characters. webdataset itself can neither write nor read u4, for a typing error.
What does not follow this is a DecodeError, before any memory is taken for it; what cannot be written is an EncodeError.
"""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Iterable, Iterator, Sequence
from math import prod
from typing import Any, BinaryIO, NoReturn

import numpy as np
from numpy.typing import NDArray

from asyncwds.errors import DecodeError, EncodeError, SpecError
from asyncwds.runtime.units import MiB

Buffer = bytes | bytearray | memoryview
Infos = bool | Sequence[str] | None

MAGIC = b"~TenBin~"
_ALIGNMENT = 64
_CHUNK = struct.Struct("<8sq")
_HEADER = struct.Struct("<8s8sq")
_MOST_DIMENSIONS = 9
CODES = frozenset({"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"})


def encode_buffer(l: list[Any], infos: Sequence[str] | None = None) -> bytes:  # noqa: E741 - webdataset's name
    """The arrays (or what NumPy takes for one, such as a tensor on the CPU) as one buffer.

    `infos` has one text for each array, or one for all. Raises EncodeError for other dtypes, ten dimensions or more, and
    infos that are longer than 8 ASCII characters.
    """
    if not isinstance(l, list):
        raise EncodeError(f"tenbin needs a list of arrays, not {type(l).__name__}")
    return b"".join(piece for chunk in encode_list(l, infos) for piece in frame_chunk(chunk))


def decode_buffer(buf: Buffer, infos: Infos = False) -> Any:
    """The arrays in a buffer, as views of it: read-only where the buffer is.

    `infos=True` returns (arrays, infos); a sequence of infos raises DecodeError where the buffer has others.
    """
    return decode_list(list(chunks(buf)), infos)


def encode_list(l: Sequence[Any], infos: Sequence[str] | None = None) -> list[Buffer]:  # noqa: E741 - as above
    """Header and data of each array, without the frames around them. Raises as `encode_buffer`."""
    names = [""] if infos is None else list(infos)
    if len(names) not in (1, len(l)):
        raise EncodeError(f"there are {len(names)} infos for {len(l)} arrays")
    pieces: list[Buffer] = []
    for index, item in enumerate(l):
        array = _little_endian(_as_array(item))
        pieces += [_header(array, names[index % len(names)]), array.reshape(-1).view(np.uint8).data]
    return pieces


def decode_list(l: Sequence[Buffer], infos: Infos = False) -> Any:  # noqa: E741 - as above
    """The arrays of the headers and data that alternate in `l`. Arguments and errors as for `decode_buffer`."""
    if len(l) % 2:
        _refuse("the last array has a header and no data")
    found = [_array(header, data) for header, data in zip(l[::2], l[1::2], strict=True)]
    arrays, names = [array for array, _ in found], [name for _, name in found]
    if infos is True:
        return arrays, names
    if isinstance(infos, Sequence) and list(infos) != names:
        _refuse(f"the infos are {names}, not {list(infos)}")
    return arrays


def write(stream: BinaryIO, l: Sequence[Any], infos: Sequence[str] | None = None) -> None:  # noqa: E741 - as above
    """Writes the arrays to a binary file. Raises as `encode_buffer`."""
    stream.write(encode_buffer(list(l), infos))


def read(stream: BinaryIO, n: int = sys.maxsize, infos: Infos = False) -> Any:
    """Reads up to `n` arrays from a binary file. Arguments and errors as for `decode_buffer`."""
    chunks: list[Buffer] = []
    while len(chunks) < 2 * n and (chunk := read_chunk(stream)) is not None:
        chunks.append(chunk)
    return decode_list(chunks, infos)


def save(fname: str | os.PathLike[str], *args: Any, infos: Sequence[str] | None = None, nocheck: bool = False) -> None:
    """Writes the arrays to a file whose name ends in .ten; `nocheck` allows other names. Raises as `encode_buffer`."""
    _check_name(fname, nocheck)
    with open(fname, "wb") as stream:  # noqa: PTH123 - the name may be a string
        write(stream, args, infos)


def load(fname: str | os.PathLike[str], infos: Infos = False, nocheck: bool = False) -> Any:
    """The arrays in a file whose name ends in .ten; `nocheck` allows other names. As for `decode_buffer`."""
    _check_name(fname, nocheck)
    with open(fname, "rb") as stream:  # noqa: PTH123 - as above
        return read(stream, infos=infos)


def _check_name(fname: str | os.PathLike[str], nocheck: bool) -> None:
    if not nocheck and not os.fspath(fname).endswith(".ten"):
        raise SpecError(f"the name should end in .ten (nocheck=True allows others): {os.fspath(fname)}")


def _as_array(item: Any) -> NDArray[Any]:
    try:
        return np.asarray(item)
    except (TypeError, ValueError, RuntimeError) as cause:  # ragged lists; tensors elsewhere, or with gradients
        raise EncodeError(f"no array: {cause}") from cause


def _little_endian(array: NDArray[Any]) -> NDArray[Any]:
    if f"{array.dtype.kind}{array.dtype.itemsize}" not in CODES:
        raise EncodeError(f"tenbin has no dtype {array.dtype}; there are {' '.join(sorted(CODES))}")
    if array.ndim > _MOST_DIMENSIONS:
        raise EncodeError(f"tenbin has arrays of up to {_MOST_DIMENSIONS} dimensions, not {array.ndim}")
    return np.asarray(array, array.dtype.newbyteorder("<"), order="C")


def _header(array: NDArray[Any], info: str) -> bytes:
    if not info.isascii() or len(info) > 8:
        raise EncodeError(f"an info has up to 8 ASCII characters, not {info!r}")
    code = f"{array.dtype.kind}{array.dtype.itemsize}"
    return _HEADER.pack(code.encode(), info.encode(), array.ndim) + struct.pack(f"<{array.ndim}q", *array.shape)


def frame_chunk(chunk: Buffer) -> Iterator[Buffer]:
    yield _CHUNK.pack(MAGIC, len(chunk))
    yield chunk
    yield bytes(-len(chunk) % _ALIGNMENT)


def chunks(buf: Buffer) -> Iterator[memoryview]:
    view = memoryview(buf).cast("B")
    position = 0
    while position < len(view):
        size = _size(view[position : position + _CHUNK.size])
        position += _CHUNK.size
        # Compared before anything is sliced or allocated: the size may be any number.
        if size + -size % _ALIGNMENT > len(view) - position:
            _refuse(f"a chunk declares {size} bytes, and {len(view) - position} are left")
        yield view[position : position + size]
        position += size + -size % _ALIGNMENT


def _size(frame: Buffer) -> int:
    if len(frame) < _CHUNK.size:
        _refuse("it ends in the middle of a chunk's frame")
    magic, size = _CHUNK.unpack(frame)
    if magic != MAGIC:
        _refuse(f"a chunk begins with {magic!r}, not {MAGIC!r}")
    if size < 0:
        _refuse(f"a chunk declares {size} bytes")
    return int(size)


def _array(header: Buffer, data: Buffer) -> tuple[NDArray[Any], str]:
    if len(header) < _HEADER.size:
        _refuse(f"a header of {len(header)} bytes")
    code, info, dimensions = _HEADER.unpack_from(header)
    if not 0 <= dimensions <= _MOST_DIMENSIONS or len(header) != _HEADER.size + 8 * dimensions:
        _refuse(f"a header of {len(header)} bytes with {dimensions} dimensions")
    shape = struct.unpack_from(f"<{dimensions}q", header, _HEADER.size)
    dtype = _ascii(code)
    if dtype not in CODES:
        _refuse(f"unknown dtype {dtype!r}")
    if min(shape, default=0) < 0 or prod(shape) * int(dtype[1]) != len(data):
        _refuse(f"{len(data)} bytes of data for shape {shape} of {dtype}")
    try:
        return np.frombuffer(data, f"<{dtype}").reshape(shape), _ascii(info)
    except ValueError as cause:  # no data, but a dimension beyond what NumPy counts to
        raise DecodeError(f"no sound tenbin: {cause}") from cause


def _ascii(field: bytes) -> str:
    try:
        return field.rstrip(b"\0").decode("ascii")
    except UnicodeDecodeError:
        _refuse(f"a name that is not ASCII: {field!r}")


def read_chunk(stream: BinaryIO) -> bytes | None:
    frame = b"".join(_pieces(stream, _CHUNK.size))
    if not frame:
        return None
    size = _size(frame)
    chunk = b"".join(_pieces(stream, size + -size % _ALIGNMENT))
    if len(chunk) < size + -size % _ALIGNMENT:
        _refuse(f"a chunk declares {size} bytes, and {len(chunk)} are left")
    return chunk[:size]


def _pieces(stream: BinaryIO, size: int) -> Iterable[bytes]:
    """So many bytes, or what there is: a file asked for a terabyte at once would allocate it first."""
    while size > 0 and (piece := stream.read(min(size, MiB))):
        yield piece
        size -= len(piece)


def _refuse(what: str) -> NoReturn:
    raise DecodeError(f"no sound tenbin: {what}")
