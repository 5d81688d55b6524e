"""Checksums of whole objects, as stores keep them: `xxhash2:0123…`. Those that Python does not have are in the extra `ais`.

From memory, with the chip's own instructions for SHA [CPU-s/GB]: xxhash 0.1, crc32c 0.1, crc32 0.4, sha1 and sha256 0.7, md5 1.7.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from asyncwds.runtime.extras import require_extra
from asyncwds.storage.base import Chunk


class Digest(Protocol):
    def update(self, data: Chunk, /) -> None: ...
    def hexdigest(self) -> str: ...


class _Crc32c:
    """Castagnoli's CRC, in hex as AIStore writes it: most significant byte first."""

    def __init__(self) -> None:
        self._extend = require_extra("google_crc32c", "ais").extend
        self._crc = 0

    def update(self, data: Chunk) -> None:
        self._crc = self._extend(self._crc, bytes(data))  # it takes no memoryviews

    def hexdigest(self) -> str:
        return f"{self._crc:08x}"


class _Crc32:
    def __init__(self) -> None:
        self._crc = 0

    def update(self, data: Chunk) -> None:
        self._crc = zlib.crc32(data, self._crc)

    def hexdigest(self) -> str:
        return f"{self._crc:08x}"


def _xxhash() -> Any:
    return require_extra("xxhash", "ais").xxh64()


_KINDS: dict[str, Callable[[], Any]] = {
    "md5": partial(hashlib.md5, usedforsecurity=False),
    "sha1": partial(hashlib.sha1, usedforsecurity=False),
    "sha256": hashlib.sha256,
    "sha512": hashlib.sha512,
    "crc32": _Crc32,
    "crc32c": _Crc32c,
    # Both of AIStore's are the 64-bit one; they are two implementations.
    "xxhash": _xxhash,
    "xxhash2": _xxhash,
}


def digest_for(checksum: str | None) -> Digest | None:
    """What computes a checksum of that kind; None without one, or for an unknown kind. SpecError if a library is missing."""
    kind = _KINDS.get("" if checksum is None else checksum.partition(":")[0])
    return None if kind is None else kind()


def checksum_of(kind: str, value: str) -> str | None:
    """The checksum that a header has in base64, as all of them are written here; None for what is no base64."""
    try:
        return f"{kind}:{base64.b64decode(value, validate=True).hex()}"
    except (binascii.Error, ValueError):
        return None


def agrees(digest: Digest, checksum: str) -> bool:
    return digest.hexdigest() == checksum.partition(":")[2].lower()
