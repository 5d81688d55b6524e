"""The kinds of compression that are read and written, in one table: gzip, zstd, xz, bz2 and lz4.

Streams are decompressed with a bound on what comes out at a time. The modules are imported on first use: builds of Python may
lack them, and most data are not compressed.
"""

from __future__ import annotations

import gzip
import sys
import zlib
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple, Protocol

from asyncwds import checks
from asyncwds.runtime.extras import require_extra
from asyncwds.runtime.units import KiB, MiB

_XZ_MEMORY = 256 * MiB  # `xz -9` needs 65 MiB
# 4 bytes of zstd can stand for 128 KiB. So of the least portion comes at most 1 MiB, and of the usual one 16 MiB, if it is the
# first of such data. With 512 bytes at once as many MB/s come out as with 64 KiB.
_ZSTD_LEAST, _ZSTD_INPUT = 32, 512
_ZSTD_OUTPUT = 64 * KiB


class PackedStream(Protocol):
    """One stream, as the standard library's decompressors are: output that does not fit into `max_length` waits inside."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class Compressor(Protocol):
    """As the standard library's compressor objects."""

    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


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
    """`zstandard` cannot limit its output, so its input comes in portions: small ones as long as much comes of them."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._input = b""
        self._output = b""
        self._portion = _ZSTD_LEAST

    @property
    def eof(self) -> bool:
        return bool(self._stream.eof) and not self._output

    @property
    def unused_data(self) -> bytes:
        return bytes(self._stream.unused_data) + self._input

    def decompress(self, data: bytes, max_length: int) -> bytes:
        waiting = self._input + data
        made, size, pos, portion = [self._output], len(self._output), 0, self._portion
        while size < max_length and pos < len(waiting) and not self._stream.eof:
            made.append(self._stream.decompress(waiting[pos : pos + portion]))
            size += (come := len(made[-1]))
            pos += portion
            if come > MiB:
                portion = _ZSTD_LEAST
            elif portion < _ZSTD_INPUT:
                portion *= 2
        self._input, self._portion = waiting[pos:], portion
        last = made.pop()  # the only one that can be too much
        cut = len(last) - max(0, size - max_length)
        self._output = last[cut:]
        return b"".join([*made, last[:cut]])


class _Lz4:
    """`lz4` has None in place of no bytes."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    @property
    def eof(self) -> bool:
        return bool(self._stream.eof)

    @property
    def unused_data(self) -> bytes:
        return self._stream.unused_data or b""

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return bytes(self._stream.decompress(data, max_length))


class _Lz4Compressor:
    """With a checksum of the content, as the command has it."""

    def __init__(self, frame: Any) -> None:
        self._compressor = frame.LZ4FrameCompressor(content_checksum=True)
        self._header = self._compressor.begin()

    def compress(self, data: bytes, /) -> bytes:
        header, self._header = self._header, b""
        return bytes(header + self._compressor.compress(data))

    def flush(self) -> bytes:
        return bytes(self._header + self._compressor.flush())


def _read_xz() -> tuple[PackedStream, type[Exception]]:
    import lzma  # noqa: PLC0415 - see above

    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY), lzma.LZMAError


def _read_bz2() -> tuple[PackedStream, type[Exception]]:
    import bz2  # noqa: PLC0415 - see above

    return bz2.BZ2Decompressor(), OSError


def _read_zstd() -> tuple[PackedStream, type[Exception]]:
    if sys.version_info >= (3, 14):
        with suppress(ImportError):
            from compression import zstd  # noqa: PLC0415 - see above

            return zstd.ZstdDecompressor(), zstd.ZstdError
    zstandard = require_extra("zstandard", "zstd")
    return _Zstandard(zstandard.ZstdDecompressor().decompressobj(write_size=_ZSTD_OUTPUT)), zstandard.ZstdError


def _read_lz4() -> tuple[PackedStream, type[Exception]]:
    return _Lz4(require_extra("lz4.frame", "lz4").LZ4FrameDecompressor()), RuntimeError


def _write_gzip() -> Compressor:
    # gzip's header without a time, so that the same archive gives the same bytes. Level 6: tarfile's 9 takes twice as long
    # for half a percent.
    return zlib.compressobj(6, wbits=31)


def _write_bz2() -> Compressor:
    import bz2  # noqa: PLC0415 - see above

    return bz2.BZ2Compressor()


def _write_xz() -> Compressor:
    import lzma  # noqa: PLC0415 - see above

    return lzma.LZMACompressor()


def _write_zstd() -> Compressor:
    if sys.version_info >= (3, 14):
        with suppress(ImportError):
            from compression import zstd  # noqa: PLC0415 - see above

            return zstd.ZstdCompressor()
    made: Compressor = require_extra("zstandard", "zstd").ZstdCompressor().compressobj()
    return made


def _write_lz4() -> Compressor:
    return _Lz4Compressor(require_extra("lz4.frame", "lz4"))


def _pack_bz2(data: bytes) -> bytes:
    import bz2  # noqa: PLC0415 - see above

    return bz2.compress(data)


def _pack_xz(data: bytes) -> bytes:
    import lzma  # noqa: PLC0415 - see above

    return lzma.compress(data)


def _pack_zstd(data: bytes) -> bytes:
    return bytes(require_extra("zstandard", "zstd").ZstdCompressor().compress(data))


def _pack_lz4(data: bytes) -> bytes:
    return bytes(require_extra("lz4.frame", "lz4").compress(data, content_checksum=True))


class Kind(NamedTuple):
    """One kind of compression. Where its library is missing, the functions raise SpecError.

    suffix         of files and fields of this kind, without a dot
    magic          with which each stream begins
    decompressor   gives a new stream, and what that raises when it is corrupt
    compressor     gives a new one, for one archive
    pack           compresses a field; the same bytes each time
    """

    suffix: str
    magic: bytes
    decompressor: Callable[[], tuple[PackedStream, type[Exception]]]
    compressor: Callable[[], Compressor]
    pack: Callable[[bytes], bytes]


KINDS = {
    "gzip": Kind("gz", b"\x1f\x8b", lambda: (_Gzip(), zlib.error), _write_gzip, partial(gzip.compress, mtime=0)),
    "zstd": Kind("zst", b"\x28\xb5\x2f\xfd", _read_zstd, _write_zstd, _pack_zstd),
    "xz": Kind("xz", b"\xfd7zXZ\0", _read_xz, _write_xz, _pack_xz),
    "bz2": Kind("bz2", b"BZh", _read_bz2, _write_bz2, _pack_bz2),
    "lz4": Kind("lz4", b"\x04\x22\x4d\x18", _read_lz4, _write_lz4, _pack_lz4),
}
SUFFIXES = {kind.suffix: name for name, kind in KINDS.items()}


def suffix_to_write(compress: bool | str | None, name: str | None) -> str | None:
    """The suffix of the compression that `compress` asks for: by the ending of the file's `name` if it is None.

    True means gz. Raises SpecError for a kind that is not known.
    """
    if compress is None:
        return next((suffix for suffix in SUFFIXES if name is not None and name.endswith(suffix)), None)
    names: dict[bool | str, str | None] = {False: None, True: "gz", "zstd": "zst", **{suffix: suffix for suffix in SUFFIXES}}
    checks.one_of("compress", compress, list(names))
    return names[compress]
