"""Bytes that are checked against what the store says of them: `ChecksumFetcher`, a fetcher around a fetcher."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace

from asyncwds.errors import ChecksumError, SpecError
from asyncwds.storage.base import Answer, Body, Chunk, Fetcher, ObjectRange
from asyncwds.storage.body import ChunkBody, PassedOn
from asyncwds.storage.layers.checksums import Digest, agrees, digest_for


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
