"""What a blocking iterator in a thread of its own shares with the loop where its items are taken.

Items cross in batches: as many as the iterator gives in `BATCH_SECONDS`, so that tiny samples share the price of a wake-up of the
loop (50 to 110 µs if each paid its own), and slow large batches cross one by one. Within a batch the clock is looked at after
each run of items, as many as come in `RUN_SECONDS`: a run passes through the interpreter's own iterators. At most two batches are
ahead of the consumer; that bounds memory without knowing the items' sizes. A consumer who has waited for a while takes what there
is of a batch: the next item may be long in coming.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from contextvars import copy_context
from dataclasses import dataclass
from itertools import chain, compress, islice
from time import monotonic
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


class ClosableIterator(Protocol[T_co]):
    def __iter__(self) -> Iterator[T_co]: ...
    def __next__(self) -> T_co: ...
    def close(self) -> None: ...


@dataclass(slots=True)
class Batch(Generic[T]):
    """Items for the consumer, last one first; with them so many batches are complete, and as many others may be begun."""

    items: list[T]
    complete: int = 0


class Channel(Generic[T]):
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
        self.closed: Callable[[], object] = do_nothing
        self.interrupt = interrupt
        self.loop = loop
        self.wanted = threading.Semaphore(BATCHES_AHEAD)
        self.exhausted = False
        self.goes_on = [True] * RUN_ITEMS  # emptied to stop: then a run ends at its next item
        self.making: deque[T] = deque()  # the thread appends, the loop takes
        self.batches: deque[Batch[T]] = deque()  # from here on used on the loop only
        self._run_items = 1
        self.ended = False
        self.error: BaseException | None = None
        self.arrived: asyncio.Future[None] | None = None
        self.thread = threading.Thread(target=copy_context().run, args=(self._run,), name="asyncwds stages", daemon=True)

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
            self.batches.append(Batch(items))
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


def do_nothing() -> None:
    """For an iterator of which nobody wants to know where it stood."""
