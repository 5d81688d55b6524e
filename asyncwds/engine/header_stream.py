"""Reads shards for their lists of contents, several at once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator

from asyncwds.engine.blocks import Block
from asyncwds.engine.contents import Contents, read_contents
from asyncwds.engine.local_contents import LocalContents
from asyncwds.runtime.blocking import BlockingPool
from asyncwds.runtime.counters import Counters
from asyncwds.shards.shard import Shard
from asyncwds.shards.urls import local_path, rewritten
from asyncwds.storage.base import Fetcher

THREADS = 4  # that read local shards


class HeaderStream:
    """The samples of shards in order, with the `Extent` of each field as its value. One consumer, as for `BlockStream`.

    `at_once` shards are read at a time, each by one request after the other. Compressed shards and sources without ranges
    are read whole. With `local`, those of files are read where they are, and not by the fetcher.
    """

    def __init__(self, shards: Iterator[Shard], fetcher: Fetcher, counters: Counters, at_once: int, *, local: bool = False) -> None:
        self._shards = shards
        self._fetcher = fetcher
        self._counters = counters
        self._at_once = at_once
        self._local = local
        self._tasks: deque[asyncio.Task[Contents]] = deque()
        self._blocks: deque[Block] = deque()
        self._threads = BlockingPool("headers", THREADS)

    async def next_block(self) -> Block | None:
        while not self._blocks:
            contents = await self.next_contents()
            if contents is None:
                return None
            self._blocks.extend(contents.blocks)
        return self.ready_block()

    def ready_block(self) -> Block | None:
        return self._blocks.popleft() if self._blocks else None

    async def next_contents(self) -> Contents | None:
        """In place of blocks: all of the next shard."""
        while len(self._tasks) < self._at_once and (shard := next(self._shards, None)) is not None:
            self._tasks.append(asyncio.create_task(self._read(shard)))
        if not self._tasks:
            return None
        contents = await self._tasks[0]
        self._tasks.popleft()
        return contents

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        try:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        finally:
            self._threads.close(drop_waiting=True)
            await self._fetcher.aclose()

    async def _read_local(self, contents: Contents) -> bool:
        """False where that has to be fetched."""
        if not self._local or local_path(rewritten(contents.shard.url)) is None:
            return False
        local = LocalContents(contents, self._counters)
        try:
            if not await self._threads.run_to_end(local.open):
                return False
            while not await self._threads.run_to_end(local.read_some):
                pass
        finally:
            local.close()
        return True

    async def _read(self, shard: Shard) -> Contents:
        contents = Contents(shard)
        if not await self._read_local(contents):
            await read_contents(self._fetcher, contents)
        self._counters.shards += not contents.failed
        return contents
