"""Checksums of whole objects, as stores keep them (`xxhash2:0123…`), and fetchers around a fetcher that go by them.

`ChecksumFetcher` compares bytes with what the store says of them; `StatedChecksums` asks for what it does not say with ranges.
Kinds that Python does not have are in the extra `ais`. From memory, with the chip's own instructions for SHA [CPU-s/GB]: xxhash
0.1, crc32c 0.1, crc32 0.4, sha1 and sha256 0.7, md5 1.7.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import zlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any, Protocol, runtime_checkable

from asyncwds.errors import ChecksumError, SpecError, WdsError
from asyncwds.runtime.extras import require_extra
from asyncwds.storage.base import Answer, Body, Chunk, ChunkBody, Fetcher, ObjectRange, PassedOn
from asyncwds.storage.ranges import ObjectMetadata


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


class ChecksumFetcher:
    """Compares whole objects with their `Answer.checksum`: raises ChecksumError in place of the last chunk.

    whole  every object is read as one stream, as from a source without ranges, and has to have a checksum. Otherwise only
           bodies that happen to be whole objects are compared, where that is possible; their answers have no checksum any
           more. What is read in parts can be compared by whoever puts these together
    """

    def __init__(self, fetcher: Fetcher, *, whole: bool) -> None:
        self._fetcher = fetcher
        self._whole = whole

    @asynccontextmanager
    async def open(self, wanted: ObjectRange, *, buffer: memoryview | None = None) -> AsyncGenerator[Body, None]:
        if self._whole:
            wanted, buffer = replace(wanted, start=0, stop=None), None
        async with self._fetcher.open(wanted, buffer=buffer) as body:
            digest = _digest(wanted.url, body.answer, must=self._whole) if _is_whole(body.answer, wanted.stop) else None
            if digest is None:
                yield PassedOn(replace(body.answer, checksum_is_sure=False), body) if body.answer.checksum else body
                return
            answer = replace(body.answer, ranged=body.answer.ranged and not self._whole, checksum=None)
            async with aclosing(_check_chunks(wanted.url, body, digest)) as chunks:
                yield ChunkBody(answer, chunks)

    async def aclose(self) -> None:
        await self._fetcher.aclose()


def _is_whole(answer: Answer, stop: int | None) -> bool:
    return answer.start == 0 and (not answer.ranged or stop is None or (answer.total is not None and answer.total <= stop))


def _digest(url: str, answer: Answer, *, must: bool) -> Digest | None:
    try:
        digest = digest_for(answer.checksum)
    except SpecError:
        if must:
            raise
        return None
    if digest is None and must:
        kind = "none" if answer.checksum is None else answer.checksum.partition(":")[0]
        raise SpecError(f"there is no checksum that can be verified ({kind}); AIStore(verify=True) wants one", url=url)
    return digest


async def _check_chunks(url: str, body: Body, digest: Digest) -> AsyncGenerator[Chunk, None]:
    size = 0
    last: Chunk = b""
    # One chunk late: whoever knows the size may take the last one for the end, and look no further.
    async for chunk in body:
        digest.update(chunk)
        size += len(chunk)
        if last:
            yield last
        last = chunk
    if not agrees(digest, body.answer.checksum or ""):
        raise mismatch(url, size, digest, body.answer.checksum or "")
    if last:
        yield last


def mismatch(url: str, size: int, digest: Digest, checksum: str, keeper: str = "store") -> ChecksumError:
    kind, _, kept = checksum.partition(":")
    message = f"the {size} bytes that came have the {kind} checksum {digest.hexdigest()}; the {keeper} keeps {kept} for them"
    return ChecksumError(message, url=url)


PATIENCE = 2.0
"""[s] For which bytes that have begun to come wait for the checksum, and no longer: a store that does not tell it is no failure."""
_REMEMBERED = 1024  # objects that are read at the same time, at most


@runtime_checkable
class StatesChecksums(Protocol):
    """A fetcher, or a store, that can be asked."""

    async def checksum(self, url: str) -> ObjectMetadata:
        """The checksum of a whole object, and the version that it is of. Raises FetchError."""
        ...


class StatedChecksums:
    """Adds the checksum that `ask` finds to all answers about an object, if both are about the same version of it.

    One small request for each object, behind the first answer: what is refused is not asked about. Where it fails there is no
    checksum.
    """

    def __init__(self, fetcher: Fetcher, ask: Callable[[str], Awaitable[ObjectMetadata]]) -> None:
        self._fetcher = fetcher
        self._ask = ask
        self._known: dict[tuple[str, str], str | None] = {}

    @asynccontextmanager
    async def open(self, wanted: ObjectRange, *, buffer: memoryview | None = None) -> AsyncGenerator[Body, None]:
        async with self._fetcher.open(wanted, buffer=buffer) as body:
            checksum = await self._checksum(wanted.url, body.answer, first=wanted.identity is None)
            yield body if checksum is None else PassedOn(replace(body.answer, checksum=checksum), body)

    async def aclose(self) -> None:
        await self._fetcher.aclose()

    async def _checksum(self, url: str, answer: Answer, *, first: bool) -> str | None:
        if answer.identity is None:
            return None
        known = (url, answer.identity)
        if first and known not in self._known:
            self._known[known] = await self._ask_store(url, answer.identity)
            while len(self._known) > _REMEMBERED:
                del self._known[next(iter(self._known))]
        return self._known.get(known)

    async def _ask_store(self, url: str, identity: str) -> str | None:
        try:
            async with asyncio.timeout(PATIENCE):
                metadata = await self._ask(url)
        except (WdsError, TimeoutError):
            return None
        return metadata.checksum if metadata.identity == identity else None
