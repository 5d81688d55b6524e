from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import textwrap
import threading

import pytest

from asyncwds.bridges import BATCH_ITEMS, BATCHES_AHEAD, ThreadedIterator
from asyncwds.errors import BridgeError
from asyncwds.pipeline import users_frames


class Numbers:
    """Counts to `stop`; `slow` [s] before each; remembers who used it and whether it was closed."""

    def __init__(self, stop: float, *, slow: float = 0.0, fail_at: float = float("inf")) -> None:
        self.stop, self.slow, self.fail_at = stop, slow, fail_at
        self.given = 0
        self.closed = threading.Event()
        self.interrupted = threading.Event()
        self.threads: set[str] = set()

    def __iter__(self):
        return self

    def __next__(self) -> int:
        self.threads.add(threading.current_thread().name)
        if self.slow and self.interrupted.wait(self.slow):
            raise BridgeError("interrupted")
        if self.given >= self.fail_at:
            raise ZeroDivisionError("from a stage")
        if self.given >= self.stop:
            raise StopIteration
        self.given += 1
        return self.given - 1

    def close(self) -> None:
        self.threads.add(threading.current_thread().name)
        self.closed.set()


def threaded(numbers: Numbers) -> ThreadedIterator[int]:
    return ThreadedIterator(numbers, numbers.interrupted.set, users_frames)


async def test_a_consumer_who_waits_gets_what_there_is_of_a_lot():
    """The third item does not come while the test lasts; the two before it come at once, and would be one batch with it."""
    go_on = threading.Event()

    class Two(Numbers):
        def __next__(self) -> int:
            if self.given == 2:
                go_on.wait(30)
            return super().__next__()

    iterator = threaded(Two(3))
    assert [await anext(iterator), await anext(iterator)] == [0, 1]
    assert not go_on.is_set()
    go_on.set()
    assert [item async for item in iterator] == [2]


async def test_closing_waits_for_one_item_where_items_became_slow():
    """Items that came quickly come many between two looks at the clock; the first that is asked for after the stop is the last."""
    go_on = threading.Event()

    class Slower(Numbers):
        def __next__(self) -> int:
            if self.given == 1000:
                go_on.wait(30)
            return super().__next__()

    numbers = Slower(float("inf"))
    iterator = threaded(numbers)
    for _ in range(1000):
        await anext(iterator)
    asyncio.get_running_loop().call_later(0.05, go_on.set)
    await iterator.aclose()
    assert numbers.given == 1001


async def test_bounds_hold_also_when_lots_are_taken_early():
    numbers = Numbers(20 * BATCH_ITEMS)
    iterator = threaded(numbers)
    for expected in range(20 * BATCH_ITEMS):
        if expected % 700 == 0:
            await asyncio.sleep(0.03)
            assert numbers.given <= expected + (BATCHES_AHEAD + 2) * BATCH_ITEMS
        assert await anext(iterator) == expected
    await iterator.aclose()


@pytest.mark.parametrize("count", [0, 1, BATCH_ITEMS - 1, BATCH_ITEMS, BATCH_ITEMS + 1, 10 * BATCH_ITEMS + 7])
async def test_all_items_come_in_order_and_the_thread_ends(count):
    numbers = Numbers(count)
    iterator = threaded(numbers)
    assert [item async for item in iterator] == list(range(count))
    assert numbers.closed.is_set()
    assert numbers.threads == {"asyncwds stages"}
    with pytest.raises(StopAsyncIteration):
        await anext(iterator)


async def test_an_error_comes_after_the_items_before_it():
    numbers = Numbers(100, fail_at=37)
    seen = []
    with pytest.raises(ZeroDivisionError, match="from a stage"):
        async for item in threaded(numbers):
            seen.append(item)
    assert seen == list(range(37))
    assert numbers.closed.is_set()


async def test_the_thread_stays_a_bounded_number_of_items_ahead():
    numbers = Numbers(float("inf"))
    iterator = threaded(numbers)
    assert await anext(iterator) == 0
    for _ in range(20):
        await asyncio.sleep(0.005)
    assert numbers.given <= (BATCHES_AHEAD + 2) * BATCH_ITEMS
    await iterator.aclose()


async def test_a_slow_stage_does_not_hold_up_the_loop():
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0)
            ticks += 1

    ticking = asyncio.create_task(tick())
    numbers = Numbers(5, slow=0.02)
    assert [item async for item in threaded(numbers)] == list(range(5))
    assert ticks > 5
    ticking.cancel()


async def test_aclose_in_the_middle_closes_the_iterator_in_its_own_thread():
    numbers = Numbers(float("inf"))
    iterator = threaded(numbers)
    await anext(iterator)
    await iterator.aclose()
    await iterator.aclose()
    assert numbers.closed.is_set()
    assert numbers.threads == {"asyncwds stages"}


async def test_aclose_interrupts_an_iterator_that_waits():
    numbers = Numbers(float("inf"), slow=30)
    iterator = threaded(numbers)
    await asyncio.sleep(0)
    await iterator.aclose()
    assert numbers.closed.is_set()


async def test_a_dropped_iterator_ends_its_thread():
    numbers = Numbers(float("inf"))
    async for _ in threaded(numbers):
        break
    gc.collect()
    assert await asyncio.to_thread(numbers.closed.wait, 5)


async def test_cancellation_while_waiting_loses_nothing():
    numbers = Numbers(3, slow=0.05)
    iterator = threaded(numbers)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await anext(iterator)
    assert [item async for item in iterator] == [0, 1, 2]


async def test_two_tasks_on_one_iterator_are_told():
    numbers = Numbers(3, slow=0.05)
    iterator = threaded(numbers)
    first = asyncio.create_task(anext(iterator))
    await asyncio.sleep(0)
    with pytest.raises(BridgeError, match="two tasks"):
        await anext(iterator)
    assert await first == 0
    await iterator.aclose()


def test_a_loop_that_was_closed_ends_the_thread():
    numbers = Numbers(float("inf"))

    async def start() -> ThreadedIterator[int]:
        iterator = threaded(numbers)
        await anext(iterator)
        return iterator

    iterators = [asyncio.run(start())]
    with pytest.raises(BridgeError, match="the loop that made it"):

        async def use_elsewhere() -> None:
            while True:
                await anext(iterators[0])

        asyncio.run(use_elsewhere())
    iterators.clear()
    gc.collect()  # the traceback of the error above holds it
    assert numbers.closed.wait(5)


def test_the_interpreter_exits_with_an_iterator_in_use():
    program = """
        import asyncio
        from asyncwds.bridges import ThreadedIterator
        from asyncwds.pipeline import users_frames

        def numbers():
            try:
                while True:
                    yield 1
            finally:
                print("closed", flush=True)

        async def main():
            global iterator
            iterator = ThreadedIterator(numbers(), lambda: None, users_frames)
            await anext(iterator)

        asyncio.run(main())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=100, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "closed\n", "")
