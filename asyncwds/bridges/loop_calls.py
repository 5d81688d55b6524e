"""Coroutines for code that may block: run on an event loop in a thread of its own, beside others, with what is open there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from asyncwds.bridges.loop_thread import OTHER_PROCESS, LoopThread
from asyncwds.errors import BridgeError

T = TypeVar("T")
R = TypeVar("R")


class _Failure:
    def __init__(self, error: BaseException) -> None:
        self.error = error


class _Call(Generic[T]):
    """What to do, and where its outcome is waited for."""

    def __init__(self, work: Callable[[T], Awaitable[Any]]) -> None:
        self.work = work
        self.outcome: SimpleQueue[Any] = SimpleQueue()

    def wait(self) -> Any:
        outcome = self.outcome.get()
        if isinstance(outcome, _Failure):
            raise outcome.error
        return outcome


class _Calls(Generic[T]):
    """What both threads share."""

    def __init__(self, opened: Callable[[], AbstractAsyncContextManager[T]]) -> None:
        self.pending: set[_Call[T]] = set()
        self.ready: SimpleQueue[BaseException | None] = SimpleQueue()
        self.error: BaseException | None = None
        self._opened = opened
        self._waiting: asyncio.Queue[_Call[T]] = asyncio.Queue()

    # -- on the loop thread

    async def run(self) -> None:
        """Until it is cancelled."""
        async with self._opened() as resource, asyncio.TaskGroup() as tasks:
            self.ready.put(None)
            while True:
                # Not by a name, which would keep the latest: a call may lead to its owner, who could never be collected.
                tasks.create_task(self._answer(await self._waiting.get(), resource))

    async def _answer(self, call: _Call[T], resource: T) -> None:
        try:
            outcome = await call.work(resource)
        except Exception as error:  # noqa: BLE001 - it belongs to the caller
            outcome = _Failure(error)
        self.pending.discard(call)
        call.outcome.put(outcome)

    def end(self, error: BaseException | None) -> None:
        self.error = error or BridgeError("the loop has ended")
        self.ready.put(self.error)
        for call in list(self.pending):
            call.outcome.put(_Failure(self.error))

    def add(self, call: _Call[T]) -> None:
        self._waiting.put_nowait(call)


class LoopCalls(Generic[T]):
    """Coroutines that use what `opened` opens on the loop. Calls of several threads run beside each other."""

    def __init__(self, opened: Callable[[], AbstractAsyncContextManager[T]]) -> None:
        self._calls = _Calls(opened)
        self._thread = LoopThread(self._calls.run, self._calls.end)
        self._finalizer = self._thread.start_for(self, self._thread.join)
        error = self._calls.ready.get()
        if error is not None:
            self._finalizer()
            raise error

    def start(self, work: Callable[[T], Awaitable[R]]) -> Callable[[], R]:
        """Starts one, and returns what waits for it, to be called once: that gives what the coroutine returns, or raises it.

        Raises BridgeError after `close` and in another process.
        """
        if not self._thread.is_of_this_process:
            raise BridgeError(OTHER_PROCESS)
        call = _Call(work)
        self._calls.pending.add(call)
        self._thread.call(self._calls.add, call)
        # Looked at after it was added: either this sees that the loop has ended, or whoever ends it sees the call.
        if self._calls.error is not None:
            raise self._calls.error
        return call.wait

    def close(self) -> None:
        """Cancels what runs, and waits for the thread's end. Idempotent."""
        self._finalizer()
