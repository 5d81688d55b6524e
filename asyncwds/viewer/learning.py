"""Finds out which samples there are: by the indexes that are kept, else by headers, of which a page sees those that are known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

from asyncwds.compression.decompress import Decompressor
from asyncwds.engine.contents import Contents, read_range
from asyncwds.errors import SpecError, WdsError
from asyncwds.index.finding import read_kept
from asyncwds.index.index import Index, ShardIndex
from asyncwds.runtime.blocking import BlockingPool
from asyncwds.runtime.event_loop import run_together
from asyncwds.shards.shard import Shard
from asyncwds.storage.base import Fetcher, ObjectRange
from asyncwds.viewer.catalog import Catalog, ShardEntry

AT_ONCE = 32  # shards that are looked at


@dataclass
class Learner:
    """folder    of a cache, that has indexes; None is none
    unpacked  where compressed shards are unpacked to; None until there is one
    """

    catalog: Catalog
    fetcher: Fetcher
    pool: BlockingPool
    folder: str | None = None
    unpacked: Path | None = None

    async def learn(self, given: Index | None = None) -> None:
        """All shards in order, some at a time. What is wrong with one is said in its entry."""
        if given is not None:
            for entry, known in zip(self.catalog.entries, given.shards, strict=True):
                await self._take_given(entry, known)
                self.catalog.settle()
        waiting = iter([entry for entry in self.catalog.entries if entry.state == "waiting"])
        await run_together(self._learn_some(waiting) for _ in range(AT_ONCE))

    async def _learn_some(self, waiting: Iterator[ShardEntry]) -> None:
        for entry in waiting:
            try:
                await self._learn(entry)
            except (WdsError, OSError) as error:  # no room where a shard is unpacked
                entry.problems.append(str(error))
            entry.state = "ready"
            self.catalog.settle()

    async def _learn(self, entry: ShardEntry) -> None:
        try:
            kept = await read_kept(self.fetcher, entry.url, self.folder)
            if kept is not None and await self._take(entry, kept):
                return
        except SpecError as error:  # the index is damaged: there are still the headers
            entry.problems.append(str(error))
        await self._read_headers(entry)

    async def _take_given(self, entry: ShardEntry, known: ShardIndex) -> None:
        try:
            await self._take(entry, known)
        except SpecError as error:
            entry.problems.append(str(error))

    async def _take(self, entry: ShardEntry, known: ShardIndex) -> bool:
        """Whether the index says where the fields of the samples are."""
        if known.packed is None:
            return False
        columns = await self.pool.run(lambda: known.columns)
        if len(columns) and not len(columns.sizes):
            return False
        entry.index, entry.state = known, "ready"
        return True

    async def _read_headers(self, entry: ShardEntry) -> None:
        contents = Contents(Shard(entry.url, 0))
        entry.state = "reading"
        await self._read_ranges(entry, contents)
        if contents.compressed:
            await self._unpack(entry)

    async def _read_ranges(self, entry: ShardEntry, contents: Contents) -> None:
        """Of a compressed shard no more than shows that it is."""
        entry.contents = contents
        try:
            while not await read_range(self.fetcher, contents) and not contents.compressed:
                entry.refresh()
        except WdsError as error:
            contents.fail(error)
        if not contents.compressed:
            entry.refresh()

    async def _unpack(self, entry: ShardEntry) -> None:
        """Compressed shards have no bytes that could be asked for one by one: they are unpacked beside, and read there."""
        entry.contents = None
        if self.unpacked is None:
            self.unpacked = Path(mkdtemp(prefix="asyncwds-view-"))
        path = self.unpacked / f"{self.catalog.entries.index(entry)}.tar"
        try:
            await self._unpack_to(path, entry.url)
        except WdsError as error:
            entry.problems.append(str(error))
        entry.source = str(path)
        await self._read_ranges(entry, Contents(Shard(entry.source, 0)))

    async def _unpack_to(self, path: Path, url: str) -> None:
        unpack = Decompressor(url)
        with path.open("wb") as file:
            async with self.fetcher.open(ObjectRange(url)) as body:
                async for chunk in body:
                    await self.pool.run_to_end(file.writelines, unpack.feed(bytes(chunk)))
            await self.pool.run_to_end(file.writelines, unpack.finish())
