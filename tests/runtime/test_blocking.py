from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest

from asyncwds.runtime import BlockingPool, run_on_own_loop
from asyncwds.testing import leaks

Run = Callable[[BlockingPool, Callable[[], None]], Awaitable[None]]


class Call:
    """A call that blocks until the test lets it go on."""

    def __init__(self) -> None:
        self.begun, self.goes_on, self.ended = threading.Event(), threading.Event(), threading.Event()

    def __call__(self) -> None:
        self.begun.set()
        assert self.goes_on.wait(10)
        self.ended.set()

    async def has_begun(self) -> None:
        assert await asyncio.to_thread(self.begun.wait, 10)


async def test_calls_are_made_off_the_loop_and_their_threads_end_with_the_pool() -> None:
    async with leaks():
        with BlockingPool("test", 2) as pool:
            thread, total = await asyncio.gather(pool.run(threading.current_thread), pool.run(sum, [1, 2], start=3))
            assert thread.name.startswith("asyncwds-test")
            assert total == 6


async def test_threads_are_few_and_start_when_they_are_needed() -> None:
    before = threading.active_count()
    with BlockingPool("test", 2) as pool:
        assert threading.active_count() == before
        assert len(set(await asyncio.gather(*(pool.run(threading.get_ident) for _ in range(50))))) <= 2
        pool.close()
        pool.close()
        assert threading.active_count() == before
        assert await pool.run(abs, -1) == 1  # it may be used again


async def test_one_thread_keeps_the_order() -> None:
    with BlockingPool("test") as pool:
        seen: list[int] = []
        await asyncio.gather(*(pool.run(seen.append, number) for number in range(100)))
        assert seen == list(range(100))


@pytest.mark.parametrize(
    ("run", "is_waited_for"),
    [(BlockingPool.run, False), (BlockingPool.run_to_end, True)],
    ids=["run", "run_to_end"],
)
async def test_a_call_under_way_goes_on_where_its_caller_is_cancelled(run: Run, is_waited_for: bool) -> None:
    call = Call()
    with BlockingPool("test") as pool:
        task = asyncio.ensure_future(run(pool, call))
        await call.has_begun()
        task.cancel()
        await asyncio.sleep(0.01)
        assert task.done() is not is_waited_for
        call.goes_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert call.ended.is_set()


@pytest.mark.parametrize(
    ("run", "is_made"),
    [(BlockingPool.run, False), (BlockingPool.run_to_end, True)],
    ids=["run", "run_to_end"],
)
async def test_a_call_that_waits_for_a_thread_while_its_caller_is_cancelled(run: Run, is_made: bool) -> None:
    first, second = Call(), Call()
    second.goes_on.set()
    with BlockingPool("test") as pool:
        other = asyncio.ensure_future(pool.run(first))
        await first.has_begun()
        task = asyncio.ensure_future(run(pool, second))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.sleep(0)
        first.goes_on.set()
        await other
        with pytest.raises(asyncio.CancelledError):
            await task
    assert second.ended.is_set() is is_made


@pytest.mark.parametrize("drop_waiting", [False, True])
async def test_what_waits_when_the_pool_is_closed(drop_waiting: bool) -> None:
    first, second = Call(), Call()
    second.goes_on.set()
    pool = BlockingPool("test")
    under_way, waiting = pool.submit(first), pool.submit(second)
    await first.has_begun()
    closing = asyncio.create_task(asyncio.to_thread(pool.close, drop_waiting=drop_waiting))
    if drop_waiting:
        while not waiting.cancelled():  # noqa: ASYNC110 - set by another thread
            await asyncio.sleep(0.001)
    first.goes_on.set()
    await closing
    assert under_way.done()
    assert second.ended.is_set() is not drop_waiting


async def test_errors_are_raised() -> None:
    with BlockingPool("test") as pool:
        for run in pool.run, pool.run_to_end:
            with pytest.raises(ZeroDivisionError):
                await run(divmod, 1, 0)


async def test_a_loop_in_a_thread_while_one_runs_here() -> None:
    async def work() -> int:
        await asyncio.sleep(0)
        return threading.get_ident()

    assert run_on_own_loop(work) != threading.get_ident()


def test_errors_come_out_of_a_loop_in_a_thread() -> None:
    async def work() -> None:
        await asyncio.sleep(0)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_on_own_loop(work)
