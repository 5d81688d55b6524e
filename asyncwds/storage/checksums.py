"""Checksums of whole objects, as stores keep them: `xxhash2:0123…`. Those that Python does not have are in the extra `ais`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from asyncwds.extras import needed
from asyncwds.storage.base import Chunk


class Digest(Protocol):
    def update(self, data: Chunk, /) -> None: ...
    def hexdigest(self) -> str: ...


class _Crc32c:
    """Castagnoli's CRC, in hex as AIStore writes it: most significant byte first."""

    def __init__(self) -> None:
        self._extend = needed("google_crc32c", "ais").extend
        self._crc = 0

    def update(self, data: Chunk) -> None:
        self._crc = self._extend(self._crc, bytes(data))  # it takes no memoryviews

    def hexdigest(self) -> str:
        return f"{self._crc:08x}"


def _xxhash() -> Any:
    return needed("xxhash", "ais").xxh64()


_KINDS: dict[str, Callable[[], Any]] = {
    "md5": partial(hashlib.md5, usedforsecurity=False),
    "sha256": hashlib.sha256,
    "sha512": hashlib.sha512,
    "crc32c": _Crc32c,
    # Both of AIStore's are the 64-bit one; they are two implementations.
    "xxhash": _xxhash,
    "xxhash2": _xxhash,
}


def digest_for(checksum: str | None) -> Digest | None:
    """What computes a checksum of that kind; None without one, or for an unknown kind. SpecError if a library is missing."""
    kind = _KINDS.get("" if checksum is None else checksum.partition(":")[0])
    return None if kind is None else kind()


def agrees(digest: Digest, checksum: str) -> bool:
    return digest.hexdigest() == checksum.partition(":")[2].lower()
