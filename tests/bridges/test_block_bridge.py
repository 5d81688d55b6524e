from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import textwrap
import threading
from contextlib import asynccontextmanager

import pytest

from asyncwds import Sample
from asyncwds.bridges import Bridge
from asyncwds.bridges.block_bridge import _Channel, gathered
from asyncwds.engine import Block
from asyncwds.errors import BridgeError, WdsError
from asyncwds.runtime import Counters


class Source:
    """Blocks of `size` samples and `nbytes` bytes each; may stop for ever or fail before block `at`."""

    def __init__(self, blocks: float, *, size: int = 3, nbytes: int = 10, hang_at: int = -1, fail_at: int = -1) -> None:
        self.blocks, self.size, self.nbytes, self.hang_at, self.fail_at = blocks, size, nbytes, hang_at, fail_at
        self.given = 0
        self.ended = threading.Event()
        self.thread = ""

    @asynccontextmanager
    async def open(self):
        self.thread = threading.current_thread().name
        try:
            yield self
        finally:
            await asyncio.sleep(0)
            self.ended.set()

    def ready_block(self) -> Block | None:
        return None

    async def next_block(self) -> Block | None:
        await asyncio.sleep(0)
        if self.given == self.hang_at:
            await asyncio.Event().wait()
        if self.given == self.fail_at:
            raise ZeroDivisionError("in the source")
        if self.given >= self.blocks:
            return None
        self.given += 1
        return Block([Sample(__key__=f"{self.given}.{i}") for i in range(self.size)], self.nbytes)

    def bridge(self, window: int = 100, counters: Counters | None = None) -> Bridge:
        return Bridge(self.open, window=window, counters=counters or Counters(), loop_factory=asyncio.new_event_loop)


@pytest.mark.parametrize("nbytes", [0, 1, 26, 60, 99, 100, 101, 1000])
def test_all_blocks_come_in_order_whatever_fits_into_the_window(nbytes):
    source = Source(200, nbytes=nbytes)
    counters = Counters()
    keys = [sample["__key__"] for block in source.bridge(counters=counters) for sample in block.samples]
    assert keys == [f"{block}.{i}" for block in range(1, 201) for i in range(3)]
    assert counters.samples == 600
    assert source.ended.is_set()
    assert source.thread == "asyncwds engine"


def test_the_source_stays_within_the_window_while_nobody_reads():
    source = Source(float("inf"), nbytes=30)
    bridge = source.bridge(window=100)
    next(bridge)
    assert not source.ended.wait(0.2)
    assert source.given <= 5  # one consumed, three in the window, one waiting for room
    bridge.close()
    assert source.ended.is_set()


def test_an_error_of_the_source_comes_after_the_blocks_before_it():
    source = Source(10, fail_at=4)
    blocks = []
    with pytest.raises(ZeroDivisionError, match="in the source"):
        blocks.extend(source.bridge())
    bridge = Source(10, fail_at=4).bridge()
    assert sum(1 for _ in zip(range(4), bridge, strict=False)) == 4
    with pytest.raises(ZeroDivisionError):
        next(bridge)
    with pytest.raises(BridgeError, match="closed"):
        next(bridge)


def test_an_error_when_the_source_is_opened_comes_too():
    @asynccontextmanager
    async def broken():
        raise LookupError("no such source")
        yield

    with pytest.raises(LookupError, match="no such source"):
        next(Bridge(broken, window=1, counters=Counters(), loop_factory=asyncio.new_event_loop))


def test_close_stops_a_source_that_hangs_and_may_be_repeated():
    source = Source(10, hang_at=2)
    bridge = source.bridge()
    next(bridge)
    bridge.close()
    bridge.close()
    assert source.ended.is_set()
    with pytest.raises(BridgeError):
        next(bridge)


@pytest.mark.parametrize("attempt", range(20))
def test_close_at_once_ends_the_thread_before_it_did_anything(attempt):
    source = Source(10, hang_at=0)
    source.bridge().close()
    assert not [thread for thread in threading.enumerate() if thread.name == "asyncwds engine"]


def test_interrupt_wakes_a_consumer_that_waits_in_another_thread():
    source = Source(10, hang_at=0)
    bridge = source.bridge()
    threading.Timer(0.05, bridge.interrupt).start()
    with pytest.raises(BridgeError, match="closed"):
        next(bridge)


def test_a_dropped_bridge_ends_its_thread():
    source = Source(10, hang_at=2)
    bridge = source.bridge()
    next(bridge)
    del bridge
    gc.collect()
    assert source.ended.wait(5)


def test_fault_39_a_thread_that_starts_only_after_it_was_stopped_ends_at_once():
    """At exit finalizers run on the main thread, perhaps while another one is about to start an engine."""
    source = Source(10)
    channel = _Channel(source.open, 1000, asyncio.new_event_loop, Counters())
    channel.shut_down()
    channel.thread.thread.start()
    channel.thread.thread.join(5)
    assert not channel.thread.thread.is_alive()
    assert channel.queue.get_nowait().error is None
    assert channel.queue.empty()


def test_collection_in_the_middle_of_any_code_does_not_wait_for_what_needs_a_lock_of_it():
    lock, ended, source = threading.Lock(), threading.Event(), Source(10, hang_at=1)

    @asynccontextmanager
    async def open_source():
        try:
            yield source
        finally:
            if lock.acquire(timeout=10):
                lock.release()
            ended.set()

    circle: list[object] = [Bridge(open_source, window=100, counters=Counters(), loop_factory=asyncio.new_event_loop)]
    next(circle[0])
    circle.append(circle)
    with lock:
        del circle
        gc.collect()
        assert not ended.is_set()
    assert ended.wait(5)


def test_collection_on_the_loop_thread_itself_does_not_wait_for_itself():
    """The garbage collector runs wherever an allocation triggers it."""
    source = Source(10, hang_at=1)
    holder = [source.bridge()]
    next(holder[0])
    loop = holder[0]._channel.thread.loop
    thread = holder[0]._channel.thread.thread
    loop.call_soon_threadsafe(holder.clear)
    thread.join(5)
    assert not thread.is_alive()
    assert source.ended.is_set()


def test_a_bridge_from_before_a_fork_is_refused_in_the_child_and_goes_on_in_the_parent():
    source = Source(6)
    bridge = source.bridge()
    next(bridge)
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            next(bridge)
            os.write(write, b"went on")
        except BridgeError as error:
            bridge.close()
            os.write(write, str(error).encode())
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    os.close(write)
    with os.fdopen(read) as answer:
        assert "another process" in answer.read()
    assert sum(1 for _ in bridge) == 5


@pytest.mark.parametrize(("closing", "last"), [(0.01, "next(bridge)"), (1.5, "next(bridge); bridge = None")])
def test_the_interpreter_exits_with_a_bridge_in_use_or_dropped(closing, last):
    program = """
        import asyncio
        from contextlib import asynccontextmanager
        from asyncwds.bridges import Bridge
        from asyncwds.engine import Block
        from asyncwds.runtime import Counters

        class Source:
            def ready_block(self):
                return None

            async def next_block(self):
                await asyncio.sleep(0.001)
                return Block([], 1)

        @asynccontextmanager
        async def open():
            try:
                yield Source()
            finally:
                await asyncio.sleep(CLOSING)
                print("closed", flush=True)

        bridge = Bridge(open, window=10, counters=Counters(), loop_factory=asyncio.new_event_loop)
    """
    program = f"CLOSING = {closing}\n{textwrap.dedent(program)}\n{last}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "closed\n", "")


def test_what_is_ready_is_handed_over_together_up_to_an_amount_or_an_error():
    def block(size: int, error: WdsError | None = None) -> Block:
        return Block([Sample(size=size)], size, error)

    class Ready:
        def __init__(self, *blocks: Block) -> None:
            self.blocks = list(blocks)

        def ready_block(self) -> Block | None:
            return self.blocks.pop(0) if self.blocks else None

        async def next_block(self) -> Block | None:
            return self.ready_block()

    def sizes(source: Ready, nbytes: int) -> tuple[list[int], int]:
        together = asyncio.run(gathered(block(1), source, nbytes))
        return [sample["size"] for sample in together.samples], together.nbytes

    assert sizes(Ready(block(2), block(3), block(4)), 5) == ([1, 2, 3], 6)
    assert sizes(Ready(block(2)), 100) == ([1, 2], 3)
    assert sizes(Ready(), 100) == ([1], 1)
    error = WdsError("x")
    together = asyncio.run(gathered(block(1), Ready(block(2, error), block(3)), 100))
    assert (len(together.samples), together.nbytes, together.error) == (2, 3, error)
