"""`ls`: what is in shards by their headers: samples with the sizes of their fields and where these stand, and shards in groups."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Generator, Iterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from asyncwds.bridges.block_bridge import Bridge
from asyncwds.engine.header_stream import HeaderStream
from asyncwds.engine.openers import open_by_scheme
from asyncwds.engine.source import Source
from asyncwds.errors import redact
from asyncwds.index.finding import find_kept
from asyncwds.index.making import index_shards
from asyncwds.runtime.counters import Counters
from asyncwds.runtime.units import MiB
from asyncwds.settings.access import Access
from asyncwds.settings.reading import Cache
from asyncwds.shards.compressed_names import compress_names
from asyncwds.shards.shard import Shard
from asyncwds.storage.listing import expand_and_list, look_up

AT_ONCE = 32  # shards of which headers are read
_SAMPLES_OF_A_SHARD = 1000  # of which fewer than so many are wanted: few shards will do


class Listed(NamedTuple):
    """A sample: by field its size [bytes], and at which byte of the shard it begins, unpacked where the shard is compressed;
    nothing of that where it was read by other means than headers.
    """

    url: str
    key: str
    sizes: dict[str, int]
    offsets: dict[str, int]


def list_samples(
    urls: Sequence[str], access: Access | None = None, counters: Counters | None = None, *, limit: int | None = None
) -> Generator[Listed, None, None]:
    """The samples in order, by headers alone. To be closed. With a `limit` no more shards are looked at than it may need.

    Raises SpecError, FetchError, TarError.
    """
    access, counters = access or Access(), counters or Counters()
    source = Source(urls=())  # which decides what is an error
    shards = [Shard(url, index) for index, url in enumerate(expand_and_list(list(urls), access))]
    at_once = AT_ONCE if limit is None else min(AT_ONCE, 1 + limit // _SAMPLES_OF_A_SHARD)

    @asynccontextmanager
    async def open_stream() -> AsyncIterator[HeaderStream]:
        stream = HeaderStream(iter(shards), open_by_scheme(access, counters), counters, at_once, local=True)
        try:
            yield stream
        finally:
            await stream.aclose()

    left = limit
    window = MiB if limit is None else 1  # [bytes] one block at a time: what is read beyond the limit is another shard soon
    with closing(Bridge(open_stream, window=window, counters=counters, loop_factory=asyncio.new_event_loop)) as bridge:
        for block in bridge if left is None or left else ():
            yield from map(_listed, block.samples[:left])
            left = None if left is None else left - len(block.samples)
            if (left is not None and left <= 0) or not source.handle_error(block, counters):
                return


def _listed(sample: dict[str, Any]) -> Listed:
    fields = {name: value for name, value in sample.items() if not name.startswith("__")}
    offsets = {name: extent.start for name, extent in fields.items()}
    return Listed(sample["__url__"], sample["__key__"], {name: int(extent) for name, extent in fields.items()}, offsets)


@dataclass
class ShardGroup:
    """Shards whose names differ in one number.

    pattern   for all of them, as `train-{000000..000146}.tar`
    shards    how many
    samples   of all, and of the one with `fewest` and that with `most`
    nbytes    of all [bytes]; None where that of one is not known
    known_by  how many shards are known by a "manifest", an "index", or their "headers"
    """

    pattern: str
    shards: int = 0
    samples: int = 0
    fewest: int = 0
    most: int = 0
    nbytes: int | None = 0
    known_by: Counter[str] = field(default_factory=Counter)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        counts = {"samples": self.samples, "fewest": self.fewest, "most": self.most, "bytes": self.nbytes}
        return {"pattern": redact(self.pattern), "shards": self.shards, **counts, "known_by": dict(sorted(self.known_by.items()))}


class _Known(NamedTuple):
    samples: int
    nbytes: int | None
    by: str


def group_shards(urls: Sequence[str], access: Access | None = None, cache: Cache | None = None) -> list[ShardGroup]:
    """The shards in order, in groups: by manifests and indexes where there are any, else by headers. Blocks.

    Raises SpecError, FetchError, TarError.
    """
    access = access or Access()
    found = look_up(list(urls), access)
    names = list(found.urls)
    known = {url: _Known(record.samples, record.bytes or None, "manifest") for url, record in found.records.items()}
    others = list(dict.fromkeys([url for url in names if url not in known]))
    kept = {shard.url: shard for shard in find_kept(others, access, cache) if shard is not None}
    made = {shard.url: shard for shard in _index([url for url in others if url not in kept], access)}
    known |= {url: _Known(shard.samples, shard.size, "index") for url, shard in kept.items()}
    known |= {url: _Known(shard.samples, shard.size, "headers") for url, shard in made.items()}
    return [_group(pattern, [known[url] for url in names[start:stop]]) for pattern, start, stop in compress_names(names)]


def _index(urls: list[str], access: Access) -> Iterator[Any]:
    return iter(index_shards(urls, access, Counters(), lambda _: None).shards if urls else ())


def _group(pattern: str, shards: list[_Known]) -> ShardGroup:
    counts, sizes = [shard.samples for shard in shards], [shard.nbytes for shard in shards if shard.nbytes is not None]
    nbytes = sum(sizes) if len(sizes) == len(shards) else None
    return ShardGroup(pattern, len(shards), sum(counts), min(counts), max(counts), nbytes, Counter([shard.by for shard in shards]))
