"""Streams of gzip, zstd, xz and bz2, decompressed with a bound on what comes out at a time."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from asyncwds.runtime.extras import require_extra
from asyncwds.runtime.units import KiB, MiB

_XZ_MEMORY = 256 * MiB  # `xz -9` needs 65 MiB
_ZSTD_INPUT = 512  # 4 bytes of zstd can stand for 128 KiB: so at most 16 MiB come at once. 290 MB/s, as with 64 KiB at once
_ZSTD_OUTPUT = 64 * KiB


class Stream(Protocol):
    """One stream, as the standard library's decompressors are: output that does not fit into `max_length` waits inside."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Gzip:
    """zlib leaves the input that it did not get to with its caller; here it is kept."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length)


class _Zstandard:
    """`zstandard` cannot limit its output, so its input comes in small portions."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._input = b""
        self._output = b""

    @property
    def eof(self) -> bool:
        return bool(self._stream.eof) and not self._output

    @property
    def unused_data(self) -> bytes:
        return bytes(self._stream.unused_data) + self._input

    def decompress(self, data: bytes, max_length: int) -> bytes:
        waiting = self._input + data
        made, size, pos = [self._output], len(self._output), 0
        while size < max_length and pos < len(waiting) and not self._stream.eof:
            made.append(self._stream.decompress(waiting[pos : pos + _ZSTD_INPUT]))
            size += len(made[-1])
            pos += _ZSTD_INPUT
        self._input = waiting[pos:]
        output = b"".join(made)
        self._output = output[max_length:]
        return output[:max_length]


# Each gives a new stream, and what that raises when it is corrupt. The modules are imported on first use: builds of
# Python may lack them, and most data are not compressed.


def _xz() -> tuple[Stream, type[Exception]]:
    import lzma  # noqa: PLC0415 - see above

    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY), lzma.LZMAError


def _bz2() -> tuple[Stream, type[Exception]]:
    import bz2  # noqa: PLC0415 - see above

    return bz2.BZ2Decompressor(), OSError


def _zstd() -> tuple[Stream, type[Exception]]:
    if sys.version_info >= (3, 14):
        with suppress(ImportError):
            from compression import zstd  # noqa: PLC0415 - see above

            return zstd.ZstdDecompressor(), zstd.ZstdError
    zstandard = require_extra("zstandard", "zstd")
    return _Zstandard(zstandard.ZstdDecompressor().decompressobj(write_size=_ZSTD_OUTPUT)), zstandard.ZstdError


STREAMS: dict[str, Callable[[], tuple[Stream, type[Exception]]]] = {
    "gzip": lambda: (_Gzip(), zlib.error),
    "zstd": _zstd,
    "xz": _xz,
    "bz2": _bz2,
}
