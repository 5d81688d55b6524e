"""The downloads that an iterator has open, each once for all of its parts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from asyncwds.errors import CacheError
from asyncwds.storage.cache.folder import CacheFolder
from asyncwds.storage.cache.journal import Header
from asyncwds.storage.cache.names import url_hash
from asyncwds.storage.cache.partial_file import Partial
from asyncwds.storage.cache.threads import CacheThreads, Health

MOST = 16
"""Shards that are complete and wait to reach the disk."""


class Partials:
    """`validator` and `sums` as for `Partial.publish`."""

    def __init__(
        self, folder: CacheFolder, threads: CacheThreads, health: Health, validator: Callable[[str], bool], *, sums: bool
    ) -> None:
        self._folder = folder
        self._threads = threads
        self._health = health
        self._validator = validator
        self._sums = sums
        self._open: dict[str, Partial] = {}
        self._publishing: set[asyncio.Task[None]] = set()
        self._syncing = asyncio.Semaphore(2)  # or a slow disk would keep all threads

    def has(self, name: str) -> bool:
        return name in self._open and self._open[name].is_open

    async def enter(
        self, stack: AsyncExitStack, name: str, url: str, is_confirmed: Callable[[str, Header], Awaitable[bool]]
    ) -> Partial | None:
        """The download of that name, open until `stack` is left. None if it has become whole.

        One that was left by others is begun anew unless it `is_confirmed`.
        """
        partial = self._open.setdefault(name, Partial(self._folder, self._threads, name, url_hash(url)))
        partial.users += 1
        stack.push_async_callback(self._leave, partial)
        async with partial.opening:
            if not partial.is_open and not await partial.open():
                return None
            if partial.left_over and partial.header is not None and not await is_confirmed(url, partial.header):
                await partial.discard()
                await partial.close()
                if not await partial.open():
                    return None
            partial.left_over = False
        return partial

    async def ended(self, name: str) -> None:
        """Waits until nobody here has a download of that name open, and what is complete has become a shard or not."""
        while (partial := self._open.get(name)) is not None:
            await partial.left.wait()
        if self._publishing:
            await asyncio.wait(self._publishing)

    async def aclose(self) -> None:
        """Waits until what has come whole is a shard; if this is cancelled, until that has been given up."""
        cancelled: asyncio.CancelledError | None = None
        while pending := {task for task in self._publishing if not task.done()}:
            try:
                await asyncio.wait(pending)
            except asyncio.CancelledError as error:
                cancelled = error
                for task in pending:
                    task.cancel()
        if cancelled is not None:
            raise cancelled

    async def _leave(self, partial: Partial) -> None:
        partial.users -= 1
        if partial.users:
            return
        if self._open.get(partial.name) is partial:
            del self._open[partial.name]
        partial.left.set()
        if partial.is_open and partial.journal.whole:
            # In the background: to wait for the disk here would keep a connection idle. But each holds files open.
            task = asyncio.create_task(self._publish(partial))
            self._publishing.add(task)
            task.add_done_callback(self._publishing.discard)
            while len(self._publishing) > MOST:
                await asyncio.wait(self._publishing, return_when=asyncio.FIRST_COMPLETED)
        elif partial.is_open:
            if not (self._health.writable and partial.is_begun):
                await partial.abandon()
            await self._close(partial)

    async def _publish(self, partial: Partial) -> None:
        try:
            async with self._syncing:
                await partial.publish(self._validator, sums=self._sums)
        except CacheError as error:
            self._health.failed(error)
            await partial.abandon()
        finally:
            await self._close(partial)

    async def _close(self, partial: Partial) -> None:
        try:
            await partial.close()
        except CacheError as error:  # over a network, writes may fail only now
            self._health.failed(error)
