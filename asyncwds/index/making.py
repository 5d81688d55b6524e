"""Makes the index of shards, of which only headers are fetched; a compressed one is read whole, and only counted. And digests of
shards, for which all their bytes are read, several shards at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from os import PathLike

from asyncwds import checks
from asyncwds.engine.contents import Contents
from asyncwds.engine.header_stream import HeaderStream
from asyncwds.engine.openers import open_by_scheme
from asyncwds.engine.source import Source
from asyncwds.errors import redact
from asyncwds.index.columns import Row, columns_of
from asyncwds.index.formats.digests import ShardDigester, ShardDigests
from asyncwds.index.index import Index, ShardIndex
from asyncwds.index.recording import row_of
from asyncwds.runtime.blocking import BlockingPool, run_on_own_loop
from asyncwds.runtime.counters import Counters
from asyncwds.runtime.event_loop import run_some_at_a_time
from asyncwds.runtime.units import MiB
from asyncwds.settings.access import Access, Http, Retry, Settings, Storage
from asyncwds.shards.shard import Shard
from asyncwds.shards.urls import local_path
from asyncwds.storage.base import Fetcher, ObjectRange
from asyncwds.storage.listing import expand_and_list
from asyncwds.storage.registry import open_storage
from asyncwds.storage.schemes import as_access

AT_ONCE = 32  # shards of which headers are read


def make_index(
    urls: str | PathLike[str] | Iterable[str | PathLike[str]],
    *,
    http: Http | None = None,
    retry: Retry | None = None,
    storage: Storage | Settings | None = None,
    made: Callable[[ShardIndex], object] | None = None,
) -> Index:
    """The index of shards: which samples they have, and where.

    urls   as for `WebDataset`: paths, URLs, patterns, folders
    made   called with the index of each shard, in order, as soon as that is known
    http, retry, storage   as for `WebDataset`

    Where there are ranges only headers are fetched: of samples of 110 KB 1.4 % of the bytes, of small ones all. Of compressed
    shards the samples are only counted. Blocks. Raises as reading the shards would.
    """
    checks.function("made", made, optional=True, takes=1)
    access = as_access(http, retry, storage)
    return index_shards(expand_and_list(urls, access), access, Counters(), made or _nothing)


def index_shards(urls: Iterable[str], access: Access, counters: Counters, made: Callable[[ShardIndex], object]) -> Index:
    """The same for shards whose urls are known."""
    return run_on_own_loop(partial(_index_shards, urls, access, counters, made))


def index_in_processes(urls: Sequence[str], access: Access, jobs: int, made: Callable[[ShardIndex], object]) -> Index:
    """The same, each shard in one of so many processes; `made` is called as they come."""
    from asyncwds.parallel.process_calls import call_in_processes  # noqa: PLC0415 - it brings multiprocessing

    found: dict[int, ShardIndex] = {}
    with closing(call_in_processes(partial(_index_of, access), urls, jobs, redact)) as results:
        for number, shard in results:
            found[number] = shard
            made(shard)
    return Index(tuple([found[number] for number in sorted(found)]))


def _index_of(access: Access, process: int) -> Callable[[str], ShardIndex]:
    del process
    return partial(_index_one, access)


def _index_one(access: Access, url: str) -> ShardIndex:
    (shard,) = index_shards([url], access, Counters(), _nothing).shards
    return shard


def _nothing(_: ShardIndex) -> None:
    """For `made`."""


async def _index_shards(urls: Iterable[str], access: Access, counters: Counters, made: Callable[[ShardIndex], object]) -> Index:
    shards = iter([Shard(url, number) for number, url in enumerate(urls)])
    stream = HeaderStream(shards, open_by_scheme(access, counters), counters, AT_ONCE, local=True)
    indexes = []
    try:
        while (contents := await stream.next_contents()) is not None:
            indexes.append(_indexed(contents, counters))
            made(indexes[-1])
    finally:
        await stream.aclose()
    return Index(tuple(indexes))


def _indexed(contents: Contents, counters: Counters) -> ShardIndex:
    url = contents.shard.url
    rows = list(_rows(contents, counters))
    identity = None if local_path(url) is not None else contents.identity  # a copy of a file has another time, and fits
    if contents.compressed:
        return ShardIndex(url, len(rows), contents.total, identity)
    return ShardIndex.of(url, columns_of(rows), contents.total, identity)


def _rows(contents: Contents, counters: Counters) -> Iterator[Row]:
    decides = Source(urls=())  # what is an error, and what a warning
    for block in contents.blocks:
        yield from map(row_of, block.samples)
        decides.handle_error(block, counters)


SHARDS_AT_ONCE = 8  # shards
THREADS = 4
_PIECE = 4 * MiB  # [bytes]


def digest_shards(index: Index, access: Access, made: Callable[[ShardIndex], object] = bool) -> dict[str, ShardDigests]:
    """By url; `made` is called for each shard. Blocks. Raises as reading the shards would, and StaleIndexError."""
    return run_on_own_loop(partial(_digest_shards, index, access, made))


async def _digest_shards(index: Index, access: Access, made: Callable[[ShardIndex], object]) -> dict[str, ShardDigests]:
    fetcher = open_storage(access, Counters())
    with BlockingPool("hash", THREADS) as pool:
        try:
            found = await run_some_at_a_time([_digest(shard, fetcher, pool, made) for shard in index.shards], SHARDS_AT_ONCE)
        finally:
            await fetcher.aclose()
    return {shard.url: digests for shard, digests in zip(index.shards, found, strict=True)}


async def _digest(shard: ShardIndex, fetcher: Fetcher, pool: BlockingPool, made: Callable[[ShardIndex], object]) -> ShardDigests:
    digester = ShardDigester(shard)
    waiting = bytearray()
    async with fetcher.open(ObjectRange(shard.url, identity=shard.identity)) as body:
        async for chunk in body:
            waiting += chunk
            if len(waiting) >= _PIECE:
                await pool.run(digester.update, memoryview(waiting))
                waiting = bytearray()
    await pool.run(digester.update, memoryview(waiting))
    made(shard)
    return digester.finish()
