"""Runs a blocking iterator in a thread of its own, for `async for`.

Stages are plain iterators, and a user's stage may block for as long as it likes. So they run neither on the user's loop nor on
the engine's, but here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any, TypeVar

from asyncwds.bridges.channel import Channel, ClosableIterator, do_nothing
from asyncwds.errors import BridgeError
from asyncwds.runtime.dropping import finalizer, join_seconds

T = TypeVar("T")

EXIT_SECONDS = 5.0  # [s] that an interpreter at its end waits for a user's stage to return


class _Count:
    __slots__ = ("items",)

    def __init__(self) -> None:
        self.items = 0

    def get(self) -> int:
        return self.items


Follow = Callable[[Callable[[], int]], Callable[[], object] | None]
"""Is told, before anything is taken, what tells how many items were; may give what is called once no more will be."""


def _nobody(_: Callable[[], int]) -> None:
    """For an iterator of which nobody wants to know how many items were taken."""


def _drop(channel: Channel[Any]) -> None:
    """For an iterator dropped without `aclose`. Waits only where it cannot hold up a running loop, as at exit."""
    channel.stop()
    if channel.thread.ident is None:  # it never started
        channel.iterator.close()
    elif not channel.loop.is_running():
        channel.thread.join(min(EXIT_SECONDS, join_seconds()))
    if not channel.thread.is_alive():
        channel.closed()


class ThreadedIterator(AsyncIterator[T]):
    """An asynchronous iterator over a blocking one, which is advanced and closed in a private thread.

    `interrupt` makes an iterator that waits raise; it is called from any thread. `mark` is called in the private one between two
    items, now and then. `follow` learns how many items were taken. Errors have what `shorten` leaves of their tracebacks.
    Must be made on the loop that uses it.
    """

    def __init__(
        self,
        iterator: ClosableIterator[T],
        interrupt: Callable[[], None],
        shorten: Callable[[BaseException], TracebackType | None],
        mark: Callable[[], None] = do_nothing,
        follow: Follow = _nobody,
    ) -> None:
        self._shorten = shorten
        self._channel = Channel(iterator, interrupt, mark, asyncio.get_running_loop())
        self._taken = _Count()
        self._channel.closed = follow(self._taken.get) or do_nothing
        self._batch: list[T] = []
        # Before the start: Ctrl-C may come between any two lines, and a thread must never be without an owner.
        self._finalizer = finalizer(self, _drop, self._channel)
        self._channel.thread.start()

    def __aiter__(self) -> ThreadedIterator[T]:
        return self

    async def __anext__(self) -> T:
        if not self._batch:
            try:
                await self._next_batch()
            except Exception as error:  # noqa: BLE001 - raised again
                raise error.with_traceback(self._shorten(error))  # noqa: B904 - it is the same error
        self._taken.items += 1
        return self._batch.pop()

    async def _next_batch(self) -> None:
        channel = self._channel
        if not self._finalizer.alive:
            raise StopAsyncIteration
        if channel.loop is not asyncio.get_running_loop():
            raise BridgeError("an asynchronous iterator must be used on the loop that made it")
        while not channel.batches and not channel.ended:
            await channel.wait()
        if channel.batches:
            taken = channel.batches.popleft()
            self._batch = taken.items
            for _ in range(taken.complete):
                channel.wanted.release()
            return
        await self.aclose()
        if channel.error is not None:
            raise channel.error
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Stops the thread and waits for its end, which is when a user's stage that is running returns. Idempotent."""
        channel = self._channel
        self._finalizer.detach()
        channel.stop()
        while not channel.ended:
            await channel.wait()
        channel.thread.join()
        channel.closed()
        channel.batches.clear()
        channel.making.clear()
        self._batch = []
