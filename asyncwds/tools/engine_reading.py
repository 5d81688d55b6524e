"""Samples of shards that the engine reads: from elsewhere, compressed, or in rotation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from asyncwds.bridges.block_bridge import Bridge
from asyncwds.bridges.loop_thread import loop_factory
from asyncwds.engine.source import Source
from asyncwds.engine.stream import window_bytes
from asyncwds.runtime.counters import Counters
from asyncwds.settings.access import Access
from asyncwds.settings.reading import Cache, Prefetch
from asyncwds.shards.manifests import ShardRecord
from asyncwds.shards.shard import Shard


def open_blocks(
    shards: Sequence[Shard], prefetch: Prefetch, access: Access, cache: Cache | None, records: Mapping[str, ShardRecord]
) -> Bridge:
    """Their samples as they stand in the archives, in blocks."""
    source = Source(
        urls=[shard.url for shard in shards],
        prefetch=prefetch,
        access=access,
        cache=cache,
        records=records,
        whole_members=True,
    )
    counters = Counters()
    return Bridge(
        lambda: source.read(iter(shards), counters),
        window=window_bytes(prefetch),
        counters=counters,
        loop_factory=loop_factory(prefetch),
    )
