"""The samples of shards with the sizes of their fields, and what was counted meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from typing import Any, NamedTuple

from asyncwds.bridges.block_bridge import Bridge
from asyncwds.cli.reading import Sources, dataset
from asyncwds.engine.contents import HeaderStream
from asyncwds.engine.schemes import storage
from asyncwds.engine.source import Source
from asyncwds.runtime.counters import Counters
from asyncwds.runtime.stats import Stats
from asyncwds.runtime.units import MiB
from asyncwds.settings.access import Access
from asyncwds.shards.shard import Shard
from asyncwds.storage.listing import expand_and_list

AT_ONCE = 32  # shards of which headers are read


class Listed(NamedTuple):
    url: str
    key: str
    sizes: dict[str, int]  # [bytes] by field


def list_samples(urls: tuple[str, ...], sources: Sources) -> tuple[Iterator[Listed], Callable[[], Stats]]:
    """The samples, and what was counted meanwhile."""
    if sources.cache is not None:
        samples = dataset(urls, sources)
        return _read(iter(samples)), samples.stats
    counters = Counters()
    return _read_headers(urls, sources.access, counters), counters.snapshot


def _read(samples: Iterator[dict[str, Any]]) -> Iterator[Listed]:
    with closing(samples):  # type: ignore[type-var]
        for sample in samples:
            yield _measure_sample(sample, len)


def _measure_sample(sample: dict[str, Any], measure: Callable[[Any], int]) -> Listed:
    sizes = {name: measure(value) for name, value in sample.items() if not name.startswith("__")}
    return Listed(sample["__url__"], sample["__key__"], sizes)


def _read_headers(urls: tuple[str, ...], access: Access, counters: Counters) -> Iterator[Listed]:
    source = Source(urls=())  # which decides what is an error
    shards = [Shard(url, index) for index, url in enumerate(expand_and_list(urls, access))]

    @asynccontextmanager
    async def open_stream() -> AsyncIterator[HeaderStream]:
        stream = HeaderStream(iter(shards), storage(access, counters), counters, AT_ONCE)
        try:
            yield stream
        finally:
            await stream.aclose()

    with closing(Bridge(open_stream, window=MiB, counters=counters, loop_factory=asyncio.new_event_loop)) as bridge:
        for block in bridge:
            for sample in block.samples:
                yield _measure_sample(sample, int)
            if not source.handle_error(block, counters):
                return
