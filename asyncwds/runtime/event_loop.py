"""On an event loop: deadlines, what runs together, and what is cut short by nothing.

A request has three deadlines: for its answer, for a second request beside it, for a connection that stalls. By asyncio's own timers
and `asyncio.timeout` they took 60 µs of it, a sixth, mostly to make and to cancel what never came due; so they take 10.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from types import TracebackType
from typing import Any, Self, TypeVar


class Deadlines:
    """Used on one event loop."""

    def __init__(self) -> None:
        self._calls: dict[int, tuple[float, Callable[[], None]]] = {}
        self._number = 0
        self._timer: asyncio.TimerHandle | None = None  # due with the first of the calls, or earlier

    def add(self, seconds: float, call: Callable[[], None]) -> int:
        """Has something called in so many [s], unless the number that this returns is dropped before."""
        due = asyncio.get_running_loop().time() + seconds
        self._number += 1
        self._calls[self._number] = due, call
        if self._timer is None or due < self._timer.when():
            self._set_timer(due)
        return self._number

    def drop(self, number: int) -> None:
        """Idempotent."""
        self._calls.pop(number, None)

    def close(self) -> None:
        """Nothing is called any more."""
        self._calls.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(due, self._look)

    def _look(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        try:
            for number, (due, call) in sorted(self._calls.items(), key=lambda each: each[1][0]):
                if due <= now and self._calls.pop(number, None) is not None:  # or one of those before has dropped it
                    call()
        finally:
            if self._calls:
                self._set_timer(min(due for due, _ in self._calls.values()))


class TimeLimit:
    """As `asyncio.timeout`, around what the running task does: TimeoutError after so many [s], or when it is `expire`d."""

    __slots__ = ("_cancelling", "_deadlines", "_expired", "_number", "_seconds", "_task")

    def __init__(self, deadlines: Deadlines, seconds: float | None = None) -> None:
        self._deadlines = deadlines
        self._seconds = seconds
        self._number = 0
        self._expired = False
        self._task: asyncio.Task[object] | None = None  # while the context is entered

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        assert self._task is not None
        self._cancelling = self._task.cancelling()
        if self._seconds is not None:
            self._number = self._deadlines.add(self._seconds, self.expire)
        return self

    def expire(self) -> None:
        """Of no effect outside of the context."""
        if self._task is not None and not self._expired:
            self._expired = True
            self._task.cancel()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._deadlines.drop(self._number)
        task, self._task = self._task, None
        # Somebody else may have cancelled the task too: that is passed on.
        if self._expired and task is not None and task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error


T = TypeVar("T")
GIVING_UP = 5.0
"""Time [s] that whoever gives an upload up waits for a host that does not answer, whatever the patience otherwise."""


async def finished_soon(begun: asyncio.Task[T]) -> bool:
    """Whether a request that an upload began with is done within `GIVING_UP`, in whatever way. If not, it is cancelled."""
    await asyncio.wait([begun], timeout=GIVING_UP)
    if not begun.done():
        begun.cancel()
        await asyncio.wait([begun])
    return not begun.cancelled()


async def run_to_completion(work: Awaitable[T]) -> T:
    """What `work` returns. Waits for it also if the caller is cancelled meanwhile; that is raised afterwards, in place of an error.

    For what frees threads and sockets and does not wait for the network: a timeout or a second Ctrl-C comes while a first one
    is being handled, and what was not freed by then nobody would free any more.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled from (None if task.cancelled() else task.exception())
    return task.result()


async def run_some_at_a_time(work: Iterable[Coroutine[Any, Any, T]], most: int) -> list[T]:
    """As `run_together`, so many at a time."""
    limit = asyncio.Semaphore(most)

    async def run(each: Coroutine[Any, Any, T]) -> T:
        async with limit:
            return await each

    return await run_together(run(each) for each in work)


async def run_together(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """All results in order. Where one fails, the others are cancelled."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        raise
