"""`webdataset.tenbin`: the format itself is `asyncwds.tenbin`; the functions of its parts are made of that."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Any, BinaryIO

import numpy as np

from asyncwds.codecs.tensors import (
    CODES,
    MAGIC,
    chunks,
    decode_buffer,
    decode_list,
    encode_buffer,
    encode_list,
    frame_chunk,
    load,
    read,
    read_chunk,
    save,
    write,
)

__all__ = [
    "bytedata",
    "bytelen",
    "check_acceptable_input_type",
    "check_infos",
    "decode_buffer",
    "decode_chunks",
    "decode_header",
    "decode_list",
    "encode_buffer",
    "encode_chunks",
    "encode_header",
    "encode_list",
    "load",
    "long_to_short",
    "magic",
    "magic_bytes",
    "magic_str",
    "read",
    "read_chunk",
    "roundup",
    "save",
    "short_to_long",
    "str64",
    "unstr64",
    "write",
    "write_chunk",
]

magic_bytes = MAGIC
magic_str = MAGIC.decode()
short_to_long = {code: np.dtype(code).name for code in sorted(CODES)}
long_to_short = {name: code for code, name in short_to_long.items()}


def str64(s: str) -> int:
    """Up to eight ASCII characters as a number."""
    number: int = struct.unpack("<q", s.encode("ascii").ljust(8, b"\0"))[0]
    return number


def unstr64(i: int) -> str:
    return struct.pack("<q", i).decode("ascii").strip("\0")


magic = str64(magic_str)


def roundup(n: int, k: int = 64) -> int:
    """The next multiple of k."""
    return -(-n // k) * k


def bytelen(a: Any) -> int:
    return a.nbytes if hasattr(a, "nbytes") else len(bytedata(a))


def bytedata(a: Any) -> Any:
    """The bytes of an array, or of bytes. ValueError for all else."""
    if isinstance(a, (bytes, bytearray, memoryview)):
        return a
    if not hasattr(a, "data"):
        raise ValueError(f"{type(a).__name__} has no bytes")
    return a.data


def check_acceptable_input_type(data: Iterable[Any], allow64: bool) -> None:
    """Raises ValueError for arrays of types that the format has not, and of those with 64 bits unless they are allowed."""
    for array in data:
        if array.dtype.name not in long_to_short:
            raise ValueError(f"arrays of {array.dtype.name} cannot be written")
        if not allow64 and array.dtype.itemsize == 8:
            raise ValueError(f"arrays of {array.dtype.name} are not allowed here")


def check_infos(data: Any, infos: Sequence[str], required_infos: bool | Sequence[str] | None = None) -> Any:
    """The data, with their infos if True is required; ValueError where they are not those required."""
    if required_infos is None or required_infos is False:
        return data
    if required_infos is True:
        return data, infos
    if list(required_infos) != list(infos):
        raise ValueError(f"the infos are {list(infos)}, not {list(required_infos)}")
    return data


def encode_header(a: Any, info: str = "") -> bytes:
    return bytes(encode_list([a], [info])[0])


def decode_header(h: bytes) -> tuple[tuple[int, ...], np.dtype[Any], str]:
    """(shape, type, info)."""
    code, info, rank = struct.unpack_from("<8s8sq", h)
    shape = struct.unpack_from(f"<{rank}q", h, 24)
    name = code.rstrip(b"\0").decode("ascii")
    if name not in short_to_long:
        raise ValueError(f"no such type of arrays: {name!r}")
    return shape, np.dtype(f"<{name}"), info.rstrip(b"\0").decode("ascii")


def encode_chunks(l: Iterable[Any]) -> bytes:  # noqa: E741 - WebDataset's name
    return b"".join(piece for chunk in l for piece in frame_chunk(_flat(chunk)))


def decode_chunks(buf: bytes) -> list[memoryview]:
    return list(chunks(buf))


def write_chunk(stream: BinaryIO, buf: Any) -> None:
    stream.writelines(frame_chunk(_flat(buf)))


def _flat(chunk: Any) -> memoryview:
    return memoryview(bytedata(chunk)).cast("B")
