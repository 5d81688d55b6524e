"""Compression of archives that are written: gz, bz2, xz, zst."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from asyncwds import checks
from asyncwds.runtime.extras import require_extra


class Compressor(Protocol):
    """As the standard library's compressor objects."""

    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


def _gz() -> Compressor:
    # gzip's header without a time, so that the same archive gives the same bytes. Level 6: tarfile's 9 takes twice as long
    # for half a percent.
    return zlib.compressobj(6, wbits=31)


def _bz2() -> Compressor:
    import bz2  # noqa: PLC0415 - builds of Python may lack it

    return bz2.BZ2Compressor()


def _xz() -> Compressor:
    import lzma  # noqa: PLC0415 - as above

    return lzma.LZMACompressor()


def _zst() -> Compressor:
    if sys.version_info >= (3, 14):
        with suppress(ImportError):
            from compression import zstd  # noqa: PLC0415 - as above

            return zstd.ZstdCompressor()
    made: Compressor = require_extra("zstandard", "zstd").ZstdCompressor().compressobj()
    return made


_KINDS: dict[str, Callable[[], Compressor]] = {"gz": _gz, "bz2": _bz2, "xz": _xz, "zst": _zst}


def compressor(kind: str) -> Compressor:
    """A compressor for one archive. SpecError where its library is missing."""
    return _KINDS[kind]()


def compression(compress: bool | str | None, name: str | None) -> str | None:
    """The kind of compression that `compress` asks for: by the ending of the file's `name` if it is None.

    True means gz. Raises SpecError for a kind that is not known.
    """
    if compress is None:
        return next((kind for kind in _KINDS if name is not None and name.endswith(kind)), None)
    names: dict[bool | str, str | None] = {False: None, True: "gz", "zstd": "zst", **{kind: kind for kind in _KINDS}}
    checks.one_of("compress", compress, list(names))
    return names[compress]
