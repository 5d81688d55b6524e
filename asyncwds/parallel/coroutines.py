"""Coroutines that work on tasks, so many at once, on a loop in a thread of its own."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from queue import SimpleQueue
from time import perf_counter
from typing import Any
from weakref import finalize

from asyncwds.bridges.loop_thread import LoopThread
from asyncwds.parallel.ordered import Failure, Task, TaskTrace
from asyncwds.parallel.sizing import payload_bytes


class WorkerCoroutines:
    """They run in the loop's thread alone, so many at a time in the order in which they came."""

    def __init__(self, function: Callable[[Any], Awaitable[Any]], trace: TaskTrace | None = None) -> None:
        self.done: SimpleQueue[Task | BaseException | None] = SimpleQueue()
        self._function = function
        self._trace = trace
        self._free: list[int] = []  # numbers of coroutines that have ended
        self._todo: deque[Task] = deque()
        self._number = 0
        self._told = False  # the loop, that there is something to do
        self._running: set[asyncio.Task[None]] = set()
        self._thread = LoopThread(self._main, self.done.put)

    def start_for(self, owner: object, number: int) -> finalize[..., Any]:
        self._number = number
        return self._thread.start_for(owner, self._thread.join)

    def resize(self, number: int) -> None:
        self._number = number
        self._tell()

    def submit(self, task: Task) -> None:
        self._todo.append(task)
        self._tell()

    def stop(self) -> None:
        self._thread.stop()
        self.done.put(None)

    def _tell(self) -> None:
        """Once for many tasks: each wake-up of the loop takes 10 to 50 us."""
        if not self._told:
            self._told = True
            self._thread.call(self._begin)

    # -- on the loop

    async def _main(self) -> None:
        self._begin()  # what was submitted before there was a loop
        await asyncio.get_running_loop().create_future()

    def _begin(self) -> None:
        self._told = False  # before it looks: what is submitted from here on tells it again
        # One that is cancelled must not make way for another, whom nobody would cancel any more.
        while self._todo and len(self._running) < self._number and not self._thread.is_stopping:
            number = self._free.pop() if self._free else len(self._running)
            running = asyncio.ensure_future(self._run(self._todo.popleft(), number))
            self._running.add(running)
            running.add_done_callback(self._ended)

    def _ended(self, running: asyncio.Task[None]) -> None:
        self._running.discard(running)
        self._begin()

    async def _run(self, task: Task, number: int) -> None:
        began = perf_counter()
        for entry in task.entries:
            task.outcomes.append(await self._call(entry))
        task.result_bytes = payload_bytes(task.outcomes)
        task.seconds = perf_counter() - began
        if self._trace is not None:
            self._trace(number, began, task)
        self._free.append(number)
        self.done.put(task)

    async def _call(self, entry: Any) -> Any:
        try:
            return await self._function(entry)
        except BaseException as error:
            if self._thread.is_stopping:
                raise
            return Failure(error)
