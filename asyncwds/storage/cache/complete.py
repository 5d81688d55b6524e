"""A shard that the cache has whole: its `Record`, what is kept of it as JSON beside it, and bodies read from its file as long as
that is what it was.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from asyncwds.errors import CacheError, FetchError
from asyncwds.runtime.counters import Counters
from asyncwds.storage.base import Body, Chunk, ChunkBody, Fetcher, ObjectRange, crop
from asyncwds.storage.cache.checks import SUM_BYTES, sum_at, sum_of


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of a shard that is whole; `mtime` is that of its file [ns]."""

    url: str
    url_hash: str
    size: int
    identity: str | None
    mtime: int
    sums: str | None = None


@dataclass(frozen=True, slots=True)
class Whole:
    """A shard that is there; `identity` is that of its file."""

    name: str
    path: str
    identity: str
    record: Record


def read_record(path: Path) -> Record:
    """Raises FileNotFoundError, or ValueError or TypeError where another version wrote it, or nobody to its end."""
    return Record(**json.loads(path.read_bytes()))


def as_json(record: Record) -> bytes:
    return json.dumps(asdict(record)).encode()


@asynccontextmanager
async def file_chunks(files: Fetcher, whole: Whole, start: int, stop: int) -> AsyncGenerator[AsyncIterator[Chunk], None]:
    """Opens [start, stop) of the shard's file.

    Entering raises FetchError if it is not that file any more, iterating CacheError before a MiB that fails its checksum.
    """
    sums = whole.record.sums
    if sums is None:
        async with files.open(ObjectRange(whole.path, start, stop, whole.identity)) as body:
            yield aiter(body)
        return
    first = start // SUM_BYTES * SUM_BYTES
    last = -(-stop // SUM_BYTES) * SUM_BYTES
    async with (
        files.open(ObjectRange(whole.path, first, last, whole.identity)) as body,
        aclosing(_verify_blocks(body, sums, first)) as blocks,
        aclosing(crop(ChunkBody(body.answer, blocks), start, stop)) as chunks,
    ):
        yield chunks


async def _verify_blocks(body: Body, sums: str, offset: int) -> AsyncGenerator[bytes, None]:
    block = b""
    async for chunk in body:
        block += chunk
        while len(block) >= SUM_BYTES:
            yield _check_block(block[:SUM_BYTES], sums, offset)
            block = block[SUM_BYTES:]
            offset += SUM_BYTES
    if block:
        yield _check_block(block, sums, offset)


def _check_block(block: bytes, sums: str, offset: int) -> bytes:
    if sum_of(block) != sum_at(sums, offset):
        raise CacheError("a cached shard fails its checksum", offset=offset)
    return block


async def whole_chunks(
    chunks: AsyncIterator[Chunk],
    wanted: ObjectRange,
    source: Fetcher,
    counters: Counters,
    damaged: Callable[[], Awaitable[str | None]],
) -> AsyncGenerator[Chunk, None]:
    """The chunks of a file; if they break off, the rest from the source, pinned to the identity that `damaged` returns."""
    position = wanted.start
    try:
        async for chunk in chunks:
            position += len(chunk)
            counters.cached += len(chunk)
            yield chunk
    except (FetchError, CacheError):
        identity = await damaged()
    else:
        return
    async with (
        source.open(ObjectRange(wanted.url, position, wanted.stop, identity)) as body,
        aclosing(crop(body, position, wanted.stop)) as rest,
    ):
        async for chunk in rest:
            yield chunk
