"""Carries blocks from an event loop in a thread of its own to synchronous code.

    loop thread (daemon)                                        consumer's thread
    stream.next_block() ─► room in the window? ─► SimpleQueue ─► next(bridge)
                              ▲ a task waits here                   │
                              └──── call_soon_threadsafe ◄── only if it waits, and there is room again

The thread lives from the bridge's making to `close`, which is idempotent and is called at the end of the stream, by
whoever stops early, by garbage collection, and at interpreter exit: exit handlers run while daemon threads still do,
so the thread is always joined before the interpreter is taken down. The thread holds no reference to the
`Bridge`, only to its `_Crossing`; otherwise a dropped bridge could never be collected.
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial
from queue import SimpleQueue
from typing import Protocol

from asyncwds.engine.parts import FAST_STEP, STEP
from asyncwds.engine.reader import Block
from asyncwds.errors import BridgeError
from asyncwds.runtime.descriptors import explain, make_loop
from asyncwds.runtime.exit_cleanup import clean_up_undisturbed
from asyncwds.runtime.stats import Counters

JOIN_TIMEOUT = 30.0  # [s] a close waits for a source that cannot be interrupted, such as a read from a dead network disk


OTHER_PROCESS = "an iterator cannot be used in another process than the one that made it; iterate over the dataset there"


class BlockSource(Protocol):
    async def next_block(self) -> Block | None: ...
    def ready_block(self) -> Block | None: ...


OpenSource = Callable[[], AbstractAsyncContextManager[BlockSource]]
LoopFactory = Callable[[], asyncio.AbstractEventLoop]


async def gathered(block: Block, source: BlockSource, nbytes: int) -> Block:
    """The block, and those behind it that are ready or become so in the loop's next turn, up to about `nbytes` [bytes] or an error.

    Handing over a chunk of 256 KiB at a time costs a switch of threads for every two or three samples of 110 KB. On a
    fast link a turn of the loop brings several; on a slow one it brings nothing, and takes 10 us.
    """
    while block.error is None and block.nbytes < nbytes:
        more = source.ready_block()
        if more is None:
            await asyncio.sleep(0)
            more = source.ready_block()
        if more is None:
            break
        block = Block(block.samples + more.samples, block.nbytes + more.nbytes, more.error)
    return block


class _End:
    """The last thing in the queue; `error` is what ended the stream, if it was not the end of the data."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


class _Crossing:
    """What both threads share."""

    def __init__(self, open_source: OpenSource, window: int, loop_factory: LoopFactory, counters: Counters) -> None:
        self.queue: SimpleQueue[Block | _End] = SimpleQueue()
        # Made by the thread itself: a thread that is stopped before it starts has nothing to close.
        self.loop: asyncio.AbstractEventLoop | None = None
        self.pid = os.getpid()
        self.thread = threading.Thread(target=self._run, args=(open_source,), name="asyncwds engine", daemon=True)
        # Totals [bytes], each written by one thread and read by both, in place of a message for each block: a wake-up
        # of the loop hands it the interpreter for up to 5 ms.
        self.put = 0
        self.taken = 0
        self.counters = counters
        self.given = 0  # by the source: what was put, and what waits for room
        self.handed = 0  # blocks
        self.asked = 0  # times that the consumer asked for one
        self.waiting = False
        self._loop_factory = loop_factory
        self._window = window
        self._room: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopping = False

    # -- on the loop thread

    def _run(self, open_source: OpenSource) -> None:
        error: BaseException | None = None
        try:
            with asyncio.Runner(loop_factory=partial(make_loop, self._loop_factory)) as runner:
                self.loop = runner.get_loop()
                runner.run(self._carry(open_source))
        except asyncio.CancelledError:
            error = BridgeError("the iterator was closed")
        except BaseException as failure:  # noqa: BLE001 - it belongs to the consumer, who raises it
            error = explain(failure)
        self.queue.put(_End(error))

    async def _carry(self, open_source: OpenSource) -> None:
        self._task = asyncio.current_task()
        if self._stopping:
            return
        async with open_source() as source:
            while (first := await source.next_block()) is not None:
                self.handed += 1  # before the source is asked for what comes behind it
                self._count_given(first.nbytes)
                # The very first goes at once: with 16 connections that begin together a turn of the loop takes 10 ms.
                most = STEP if first.nbytes <= STEP else FAST_STEP  # more than a step comes over fast links only
                block = await gathered(first, source, min(most, self._window // 4)) if self.put else first
                self._count_given(block.nbytes - first.nbytes)
                await self._wait_for_room(block.nbytes)
                self.queue.put(block)
                await asyncio.sleep(0)  # or a long run of blocks that are ready would keep the sockets waiting

    def _count_given(self, nbytes: int) -> None:
        self.given += nbytes
        self.counters.given += nbytes

    async def _wait_for_room(self, nbytes: int) -> None:
        while not self._fits(nbytes):
            self._room = asyncio.get_running_loop().create_future()
            self.waiting = True
            # Looked at again after saying so: either this sees what was taken, or the consumer sees that this waits.
            if self._fits(nbytes):
                break
            await self._room
        self.waiting = False
        self.put += nbytes

    def _fits(self, nbytes: int) -> bool:
        """A block larger than the window passes when nothing else is outstanding."""
        outstanding = self.put - self.taken
        return outstanding <= 0 or outstanding + nbytes <= self._window

    def _make_room(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    # -- on any thread

    def took(self, nbytes: int) -> None:
        """The consumer is done with so many bytes. Wakes a loop that waits once a quarter of the window is free."""
        self.taken += nbytes
        self.counters.taken += nbytes
        self.asked += 1
        if self.waiting and self.put - self.taken <= self._window * 3 // 4:
            self.waiting = False
            self._call(self._make_room)

    def stop(self) -> None:
        # In this order: either this sees the loop, or the thread, which makes it first and looks then, sees this.
        self._stopping = True
        self._call(self._cancel)

    def _call(self, function: Callable[[], None]) -> None:
        if self.loop is not None:
            with suppress(RuntimeError):  # the loop is closed: the thread is at its end and needs neither room nor stopping
                self.loop.call_soon_threadsafe(function)


def _shut_down(crossing: _Crossing) -> None:
    # In a forked child there is no such thread: nothing to stop, and joining would wait for ever.
    if crossing.pid != os.getpid():
        return
    crossing.stop()
    # It has not started perhaps, and will end at once if it does. And the collector may run a finalizer on any thread,
    # the loop's own included.
    if crossing.thread.is_alive() and crossing.thread is not threading.current_thread():
        crossing.thread.join(JOIN_TIMEOUT)
    crossing.counters.taken += crossing.given - crossing.taken  # nobody will take what is left
    crossing.taken = crossing.given


class Bridge:
    """Iterates over the blocks of a source that lives on a loop thread. Raises what the source raised.

    `window` [bytes] bounds the blocks handed over and not yet consumed: a block counts as consumed when the next is taken.
    """

    def __init__(self, open_source: OpenSource, *, window: int, counters: Counters, loop_factory: LoopFactory) -> None:
        self._crossing = _Crossing(open_source, window, loop_factory, counters)
        self._counters = counters
        self._last = 0  # bytes of the block that is being consumed
        # Before the start: Ctrl-C may come between any two lines, and a thread must never be without an owner.
        self._finalizer = weakref.finalize(self, _shut_down, self._crossing)
        clean_up_undisturbed()
        self._crossing.thread.start()

    def __iter__(self) -> Bridge:
        return self

    def __next__(self) -> Block:
        if self._crossing.pid != os.getpid():
            raise BridgeError(OTHER_PROCESS)
        if not self._finalizer.alive:
            raise BridgeError("the iterator is closed")
        block = self._get()
        if isinstance(block, _End):
            self.close()
            if block.error is not None:
                raise block.error
            raise StopIteration
        self._last = block.nbytes
        self._counters.samples += len(block.samples)
        return block

    def _get(self) -> Block | _End:
        self._crossing.took(self._last)
        self._last = 0
        if not self._crossing.queue.empty():
            return self._crossing.queue.get()
        with self._counters.waiting():
            return self._crossing.queue.get()

    @property
    def drained(self) -> bool:
        """Whether the consumer is done with all that was handed over, and asks for more. To be read on the loop."""
        return self._crossing.asked > self._crossing.handed

    def interrupt(self) -> None:
        """Makes a `next` that waits in another thread raise BridgeError, and does not wait for anything."""
        self._crossing.stop()

    def close(self) -> None:
        """Stops the loop thread and waits for its end. Idempotent."""
        self._finalizer()
