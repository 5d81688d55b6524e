"""Digests of shards: reads all their bytes, several shards at a time."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from asyncwds.index.formats.digests import ShardDigester, ShardDigests
from asyncwds.index.index import Index, ShardIndex
from asyncwds.runtime.blocking import BlockingPool, run_on_own_loop
from asyncwds.runtime.counters import Counters
from asyncwds.runtime.event_loop import run_some_at_a_time
from asyncwds.runtime.units import MiB
from asyncwds.settings.access import Access
from asyncwds.storage.base import Fetcher, ObjectRange
from asyncwds.storage.registry import open_storage

AT_ONCE = 8  # shards
THREADS = 4
_PIECE = 4 * MiB  # [bytes]


def digest_shards(index: Index, access: Access, made: Callable[[ShardIndex], object] = bool) -> dict[str, ShardDigests]:
    """By url; `made` is called for each shard. Blocks. Raises as reading the shards would, and StaleIndexError."""
    return run_on_own_loop(partial(_digest_shards, index, access, made))


async def _digest_shards(index: Index, access: Access, made: Callable[[ShardIndex], object]) -> dict[str, ShardDigests]:
    fetcher = open_storage(access, Counters())
    with BlockingPool("hash", THREADS) as pool:
        try:
            found = await run_some_at_a_time([_digest(shard, fetcher, pool, made) for shard in index.shards], AT_ONCE)
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
