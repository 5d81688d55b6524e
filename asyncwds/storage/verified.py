"""Bytes that are checked against what the store says of them: `Verified`, a fetcher around a fetcher."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

from asyncwds.errors import ChecksumError, SpecError
from asyncwds.extras import needed
from asyncwds.storage.base import Answer, Body, Chunk, Fetcher
from asyncwds.storage.body import ChunkBody


class _Hash(Protocol):
    def update(self, data: Chunk, /) -> None: ...
    def hexdigest(self) -> str: ...


def _xxhash() -> Any:
    return needed("xxhash", "ais").xxh64()


_HASHES: dict[str, Callable[[], Any]] = {
    "md5": partial(hashlib.md5, usedforsecurity=False),
    "sha256": hashlib.sha256,
    "sha512": hashlib.sha512,
    # Both of AIStore's are the 64-bit one; they are two implementations.
    "xxhash": _xxhash,
    "xxhash2": _xxhash,
}


class Verified:
    """Compares whole objects with their `Answer.checksum`, after their last byte: raises ChecksumError in place of the end.

    whole  every object is read as one stream, as from a source without ranges, and has to have a checksum. Otherwise only
           bodies that happen to be whole objects are compared, where that is possible
    """

    def __init__(self, fetcher: Fetcher, *, whole: bool) -> None:
        self._fetcher = fetcher
        self._whole = whole

    @asynccontextmanager
    async def open(
        self,
        url: str,
        start: int = 0,
        stop: int | None = None,
        identity: str | None = None,
        *,
        buffer: memoryview | None = None,
    ) -> AsyncGenerator[Body, None]:
        if self._whole:
            start, stop, buffer = 0, None, None
        async with self._fetcher.open(url, start, stop, identity, buffer=buffer) as body:
            digest = _digest(url, body.answer, must=self._whole) if _is_whole(body.answer, stop) else None
            if digest is None:
                yield body
                return
            answer = replace(body.answer, ranged=body.answer.ranged and not self._whole)
            async with aclosing(_checked(url, body, digest)) as chunks:
                yield ChunkBody(answer, chunks)

    async def aclose(self) -> None:
        await self._fetcher.aclose()


def _is_whole(answer: Answer, stop: int | None) -> bool:
    return answer.start == 0 and (not answer.ranged or stop is None or (answer.total is not None and answer.total <= stop))


def _digest(url: str, answer: Answer, *, must: bool) -> _Hash | None:
    kind = "" if answer.checksum is None else answer.checksum.partition(":")[0]
    try:
        digest: _Hash = _HASHES[kind]()
    except (KeyError, SpecError) as error:
        if must and isinstance(error, SpecError):
            raise
        if must:
            raise SpecError(
                f"there is no checksum that can be verified ({kind or 'none'}); AIStore(verify=True) wants one", url=url
            ) from None
        return None
    return digest


async def _checked(url: str, body: Body, digest: _Hash) -> AsyncGenerator[Chunk, None]:
    size = 0
    async for chunk in body:
        digest.update(chunk)
        size += len(chunk)
        yield chunk
    found, expected = digest.hexdigest(), (body.answer.checksum or "").partition(":")[2]
    if found != expected.lower():
        raise ChecksumError(f"the {size} bytes that came have checksum {found}; the store keeps {expected} for them", url=url)
