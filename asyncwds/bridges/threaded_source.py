"""Draws from a blocking iterator in a thread of its own, for a loop that must not wait for it."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from contextvars import copy_context
from typing import Any, TypeVar

from asyncwds.bridges.async_iterator import EXIT_SECONDS
from asyncwds.bridges.channel import ClosableIterator
from asyncwds.errors import BridgeError

T = TypeVar("T")


class Feed(Iterator[T | None]):
    """The items of a blocking iterator; None says that the next has not come yet.

    Each is drawn by a thread of its own, once the loop has asked for it; `arrived` is called on the loop when it is there.
    A step of the iterator cannot be interrupted: `close` waits up to `EXIT_SECONDS` for one under way. The thread closes the
    iterator and ends when the step returns.
    """

    def __init__(self, iterator: ClosableIterator[T]) -> None:
        self._iterator = iterator
        self._wanted = threading.Semaphore(0)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=copy_context().run, args=(self._run,), name="asyncwds shards", daemon=True)
        self._asked = False  # from here on used on the loop only
        self._items: deque[T] = deque()
        self._end: BaseException | None = None

    def start(self, loop: asyncio.AbstractEventLoop, arrived: Callable[[], None]) -> None:
        self._loop, self._arrived = loop, arrived
        self._thread.start()

    def __next__(self) -> T | None:
        if self._items:
            return self._items.popleft()
        if self._end is not None:
            raise self._end
        if not self._asked:
            self._asked = True
            self._wanted.release()
        return None

    # -- on the thread

    def _run(self) -> None:
        end: BaseException
        try:
            with closing(self._iterator):
                while self._wanted.acquire() and not self._stopped.is_set():
                    self._call(self._take, next(self._iterator))
            end = BridgeError("the iterator is closed")
        except BaseException as error:  # noqa: BLE001 - it belongs to the loop, which raises it where the item should be
            end = error
        self._call(self._finish, end)

    def _call(self, function: Callable[[Any], None], arrival: Any) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody asks any more
            self._loop.call_soon_threadsafe(function, arrival)

    # -- on the loop

    def _take(self, item: T) -> None:
        self._asked = False
        self._items.append(item)
        self._arrived()

    def _finish(self, end: BaseException) -> None:
        self._end = end
        self._arrived()

    # -- on any thread

    def interrupt(self) -> None:
        self._stopped.set()
        self._wanted.release()

    def close(self) -> None:
        self.interrupt()
        if self._thread.ident is not None:
            self._thread.join(EXIT_SECONDS)
        else:
            self._iterator.close()
