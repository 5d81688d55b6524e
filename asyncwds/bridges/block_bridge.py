"""Carries blocks from an event loop in a thread of its own to synchronous code.

    loop thread (daemon)                                        consumer's thread
    stream.next_block() ─► room in the window? ─► SimpleQueue ─► next(bridge)
                              ▲ a task waits here                   │
                              └──── call_soon_threadsafe ◄── only if it waits, and there is room again

The thread (`loop_thread`) lives from the bridge's making to `close`, which is idempotent and is called at the end of the stream,
by whoever stops early, by garbage collection, and at interpreter exit. It holds no reference to the `Bridge`, only to its
`_Channel`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from queue import SimpleQueue
from time import perf_counter
from typing import Protocol

from asyncwds.bridges.loop_thread import OTHER_PROCESS, LoopFactory, LoopThread, loop_factory
from asyncwds.engine.blocks import Block
from asyncwds.engine.parts import FAST_STEP, STEP
from asyncwds.engine.stream import window_bytes
from asyncwds.errors import BridgeError
from asyncwds.runtime.counters import Counters
from asyncwds.runtime.recorder import CONSUMER, READER
from asyncwds.settings.reading import Prefetch


class BlockSource(Protocol):
    async def next_block(self) -> Block | None: ...
    def ready_block(self) -> Block | None: ...


OpenSource = Callable[[], AbstractAsyncContextManager[BlockSource]]


def open_bridge(open_source: OpenSource, prefetch: Prefetch, counters: Counters) -> Bridge:
    """One that holds as much, and has the loop, that `prefetch` says."""
    return Bridge(open_source, window=window_bytes(prefetch), counters=counters, loop_factory=loop_factory(prefetch))


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
        block = Block(block.samples + more.samples, block.nbytes + more.nbytes, more.error, block.turns + more.turns)
    return block


def _described(block: Block) -> dict[str, int]:
    return {"samples": len(block.samples), "bytes": block.nbytes}


class _End:
    """The last thing in the queue; `error` is what ended the stream, if it was not the end of the data."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


class _Channel:
    """What both threads share."""

    def __init__(self, open_source: OpenSource, window: int, loop_factory: LoopFactory, counters: Counters) -> None:
        self.queue: SimpleQueue[Block | _End] = SimpleQueue()
        self.thread = LoopThread(self._carry, self._end, loop_factory)
        # Totals [bytes], each written by one thread and read by both, in place of a message for each block: a wake-up
        # of the loop hands it the interpreter for up to 5 ms.
        self.put = 0
        self.taken = 0
        self.counters = counters
        self.given = 0  # by the source: what was put, and what waits for room
        self.handed = 0  # blocks
        self.asked = 0  # times that the consumer asked for one
        self.waiting = False
        self.arrows: deque[int | None] = deque()  # in a trace, of the blocks in the queue
        self._open_source = open_source
        self._window = window
        self._room: asyncio.Future[None] | None = None

    # -- on the loop thread

    def _end(self, error: BaseException | None) -> None:
        self.queue.put(_End(error))

    async def _carry(self) -> None:
        async with self._open_source() as source:
            while (first := await source.next_block()) is not None:
                self.handed += 1  # before the source is asked for what comes behind it
                self._count_given(first.nbytes)
                # The very first goes at once: with 16 connections that begin together a turn of the loop takes 10 ms.
                most = STEP if first.nbytes <= STEP else FAST_STEP  # more than a step comes over fast links only
                block = await gathered(first, source, min(most, self._window // 4)) if self.put else first
                self._count_given(block.nbytes - first.nbytes)
                await self._wait_for_room(block.nbytes)
                if self.counters.trace is not None:
                    self.arrows.append(self.counters.trace.hand_over(READER, "block", **_described(block)))
                self.queue.put(block)
                await asyncio.sleep(0)  # or a long run of blocks that are ready would keep the sockets waiting

    def _count_given(self, nbytes: int) -> None:
        self.given += nbytes
        self.counters.given += nbytes

    async def _wait_for_room(self, nbytes: int) -> None:
        if self._fits(nbytes):
            self.put += nbytes
            return
        began = perf_counter()
        while not self._fits(nbytes):
            self._room = asyncio.get_running_loop().create_future()
            self.waiting = True
            # Looked at again after saying so: either this sees what was taken, or the consumer sees that this waits.
            if self._fits(nbytes):
                break
            await self._room
        self.waiting = False
        self.put += nbytes
        if self.counters.trace is not None:
            self.counters.trace.span(READER, "wait for the consumer", began, perf_counter())

    def _fits(self, nbytes: int) -> bool:
        """A block larger than the window passes when nothing else is outstanding."""
        outstanding = self.put - self.taken
        return outstanding <= 0 or outstanding + nbytes <= self._window

    def _make_room(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    # -- on any thread

    def release(self, nbytes: int) -> None:
        """The consumer is done with so many bytes. Wakes a loop that waits once a quarter of the window is free."""
        self.taken += nbytes
        self.counters.taken += nbytes
        self.asked += 1
        if self.waiting and self.put - self.taken <= self._window * 3 // 4:
            self.waiting = False
            self.thread.call(self._make_room)

    def shut_down(self) -> None:
        if self.thread.is_of_this_process:
            self.thread.join()
            self.counters.taken += self.given - self.taken  # nobody will take what is left
            self.taken = self.given


class Bridge:
    """Iterates over the blocks of a source that lives on a loop thread. Raises what the source raised.

    `window` [bytes] bounds the blocks handed over and not yet consumed: a block counts as consumed when the next is taken.
    """

    def __init__(self, open_source: OpenSource, *, window: int, counters: Counters, loop_factory: LoopFactory) -> None:
        self._channel = _Channel(open_source, window, loop_factory, counters)
        self._counters = counters
        self._last = 0  # bytes of the block that is being consumed
        self._finalizer = self._channel.thread.start_for(self, self._channel.shut_down)

    def __iter__(self) -> Bridge:
        return self

    def __next__(self) -> Block:
        if not self._channel.thread.is_of_this_process:
            raise BridgeError(OTHER_PROCESS)
        if not self._finalizer.alive:
            raise BridgeError("the iterator is closed")
        block = self._get()
        if isinstance(block, _End):
            self.close()
            if block.error is not None:
                raise block.error
            raise StopIteration
        if self._channel.arrows and self._counters.trace is not None:
            self._counters.trace.arrive(CONSUMER, "block", self._channel.arrows.popleft(), **_described(block))
        self._last = block.nbytes
        self._counters.samples += len(block.samples)
        return block

    def _get(self) -> Block | _End:
        self._channel.release(self._last)
        self._last = 0
        if not self._channel.queue.empty():
            return self._channel.queue.get()
        with self._counters.waiting():
            return self._channel.queue.get()

    @property
    def drained(self) -> bool:
        """Whether the consumer is done with all that was handed over, and asks for more. To be read on the loop."""
        return self._channel.asked > self._channel.handed

    def interrupt(self) -> None:
        """Makes a `next` that waits in another thread raise BridgeError, and does not wait for anything."""
        self._channel.thread.stop()

    def close(self) -> None:
        """Stops the loop thread and waits for its end. Idempotent."""
        self._finalizer()
