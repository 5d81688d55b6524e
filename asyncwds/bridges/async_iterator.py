"""Runs a blocking iterator in a thread of its own, for `async for`.

Stages are plain iterators, and a user's stage may block for as long as it likes. So they run neither on the user's
loop nor on the engine's, but here. Items cross in batches: as many as the iterator gives in `BATCH_SECONDS`, so that tiny
samples share the price of a wake-up of the loop (50 to 110 µs if each paid its own), and slow large batches cross one
by one. Within a batch the clock is looked at after each run of items, as many as come in `RUN_SECONDS`: a run passes through the
interpreter's own iterators. At most two batches are ahead of the consumer; that bounds memory without knowing the items' sizes.
A consumer who has waited for a while takes what there is of a batch: the next item may be long in coming.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import chain, compress, islice
from time import monotonic
from types import TracebackType
from typing import Any, Generic, Protocol, TypeVar

from asyncwds.errors import BridgeError

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

BATCH_SECONDS = 0.002
BATCH_ITEMS = 1024
RUN_SECONDS = 0.0001
RUN_ITEMS = 64
BATCHES_AHEAD = 2
LOOK_SECONDS = 0.01  # between two looks of a consumer who waits at the batch that is being made
EXIT_SECONDS = 5.0  # [s] that an interpreter at its end waits for a user's stage to return


class ClosableIterator(Protocol[T_co]):
    def __iter__(self) -> Iterator[T_co]: ...
    def __next__(self) -> T_co: ...
    def close(self) -> None: ...


@dataclass(slots=True)
class _Taken(Generic[T]):
    """Items for the consumer, last one first; with them so many batches are complete, and as many others may be begun."""

    items: list[T]
    complete: int = 0


class _Channel(Generic[T]):
    """What the thread and the loop share; the thread holds no reference to the `ThreadedIterator`."""

    def __init__(
        self,
        iterator: ClosableIterator[T],
        interrupt: Callable[[], None],
        mark: Callable[[], None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.iterator = iterator
        self.mark = mark
        self.closed: Callable[[], object] = _no_mark
        self.interrupt = interrupt
        self.loop = loop
        self.wanted = threading.Semaphore(BATCHES_AHEAD)
        self.exhausted = False
        self.goes_on = [True] * RUN_ITEMS  # emptied to stop: then a run ends at its next item
        self.making: deque[T] = deque()  # the thread appends, the loop takes
        self.batches: deque[_Taken[T]] = deque()  # from here on used on the loop only
        self._run_items = 1
        self.ended = False
        self.error: BaseException | None = None
        self.arrived: asyncio.Future[None] | None = None
        self.thread = threading.Thread(target=self._run, name="asyncwds stages", daemon=True)

    # -- on the thread

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            with closing(self.iterator):
                items = chain(self.iterator, self._note_end())
                while self._deliver_batch(items):
                    pass
        except BaseException as failure:  # noqa: BLE001 - it belongs to the consumer, who raises it
            error = failure
        self._call(self._end, error)

    def _deliver_batch(self, items: Iterator[T]) -> bool:
        """False at the end of the iterator, or when nobody wants more."""
        self.wanted.acquire()
        left, until = BATCH_ITEMS, monotonic() + BATCH_SECONDS
        try:
            while left and self.goes_on and not self.exhausted and (began := monotonic()) < until:
                size = min(self._run_items, left)
                self.making.extend(compress(islice(items, size), self.goes_on))
                left -= size
                self._set_run_items(monotonic() - began)
            return bool(self.goes_on) and not self.exhausted
        finally:
            self.mark()
            self._call(self._arrive)  # items before an error are delivered before it

    def _set_run_items(self, seconds: float) -> None:
        """Twice as many items in the next run, if the last one was short; fewer, if it took long."""
        if seconds < RUN_SECONDS:
            self._run_items = min(2 * self._run_items, RUN_ITEMS)
        else:
            self._run_items = max(1, int(self._run_items * RUN_SECONDS / seconds))

    def _note_end(self) -> Iterator[T]:
        self.exhausted = True
        yield from ()

    def _call(self, function: Callable[..., None], *args: Any) -> None:
        try:
            self.loop.call_soon_threadsafe(function, *args)
        except RuntimeError:
            self.goes_on.clear()  # the user's loop is closed: nobody is left to deliver to

    # -- on the loop

    def _arrive(self) -> None:
        """A batch is complete. Its items may have been taken before, or may be taken with the beginning of the next."""
        self._take()
        if self.batches:
            self.batches[-1].complete += 1
        else:
            self.wanted.release()

    def _take(self) -> None:
        items = [self.making.popleft() for _ in range(len(self.making))]
        if items:
            items.reverse()  # so that taking the first is a pop from the end
            self.batches.append(_Taken(items))
            self._wake()

    def _look(self) -> None:
        if self.arrived is not None and not self.arrived.done():
            self._take()
            self.looking = self.loop.call_later(LOOK_SECONDS, self._look)

    def _end(self, error: BaseException | None) -> None:
        self.ended, self.error = True, error
        self._wake()

    def _wake(self) -> None:
        if self.arrived is not None and not self.arrived.done():
            self.arrived.set_result(None)

    async def wait(self) -> None:
        """Until a batch arrives or the thread ends."""
        if self.arrived is not None:
            raise BridgeError("two tasks wait for the same asynchronous iterator; give each its own")
        self.arrived = self.loop.create_future()
        self.looking = self.loop.call_later(LOOK_SECONDS, self._look)
        try:
            await self.arrived
        finally:
            self.looking.cancel()
            self.arrived = None

    # -- on any thread

    def stop(self) -> None:
        self.goes_on.clear()
        self.wanted.release()
        self.interrupt()


class _Count:
    __slots__ = ("items",)

    def __init__(self) -> None:
        self.items = 0

    def get(self) -> int:
        return self.items


Follow = Callable[[Callable[[], int]], Callable[[], object] | None]
"""Is told, before anything is taken, what tells how many items were; may give what is called once no more will be."""


def _no_mark() -> None:
    """For an iterator of which nobody wants to know where it stood."""


def _nobody(_: Callable[[], int]) -> None:
    """For an iterator of which nobody wants to know how many items were taken."""


def _drop(channel: _Channel[Any]) -> None:
    """For an iterator dropped without `aclose`. Waits only where it cannot hold up a running loop, as at exit."""
    channel.stop()
    if channel.thread.ident is None:  # it never started
        channel.iterator.close()
    elif not channel.loop.is_running():
        channel.thread.join(EXIT_SECONDS)
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
        mark: Callable[[], None] = _no_mark,
        follow: Follow = _nobody,
    ) -> None:
        self._shorten = shorten
        self._channel = _Channel(iterator, interrupt, mark, asyncio.get_running_loop())
        self._taken = _Count()
        self._channel.closed = follow(self._taken.get) or _no_mark
        self._batch: list[T] = []
        # Before the start: Ctrl-C may come between any two lines, and a thread must never be without an owner.
        self._finalizer = weakref.finalize(self, _drop, self._channel)
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
