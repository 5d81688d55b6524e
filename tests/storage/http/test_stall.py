"""When a connection counts as stalled. Windows are short, and what must not happen is given much longer than one."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from asyncwds import Retry
from asyncwds.runtime import Deadlines
from asyncwds.storage.http.connections import StallClock

WINDOW = 0.1


class Line:
    """A clock under test, and whether it gave up."""

    def __init__(self, stall_bytes: int) -> None:
        self.given_up = asyncio.Event()
        self.clock = StallClock(Retry(stall_timeout=WINDOW, stall_bytes=stall_bytes), self.given_up.set, Deadlines())

    async def wait(self, seconds: float, size: int) -> None:
        """A reader's wait that takes so long and brings so many bytes."""
        self.clock.begin()
        await asyncio.sleep(seconds)
        self.clock.end(size)


@pytest.fixture
async def line() -> AsyncIterator[Line]:
    line = Line(stall_bytes=100)
    yield line
    line.clock.stop()


async def test_waiting_in_vain(line: Line) -> None:
    line.clock.begin()
    await line.given_up.wait()
    assert line.clock.stalled


async def test_a_few_bytes_now_and_then(line: Line) -> None:
    while not line.given_up.is_set():
        await line.wait(0.01, 1)
    assert line.clock.stalled


async def test_enough_bytes_in_time(line: Line) -> None:
    for _ in range(30):
        await line.wait(0.01, 100)
    assert not line.clock.stalled


async def test_a_reader_that_is_busy(line: Line) -> None:
    for _ in range(3):
        await line.wait(0.0, 1)
        await asyncio.sleep(2 * WINDOW)
    assert not line.clock.stalled


async def test_a_loop_that_is_blocked(line: Line) -> None:
    # The bytes came meanwhile, but the timer is due before the reader wakes up.
    for _ in range(3):
        line.clock.begin()
        await asyncio.sleep(0)
        time.sleep(2 * WINDOW)  # noqa: ASYNC251
        await asyncio.sleep(0)
        line.clock.end(1000)
    assert not line.clock.stalled


async def test_stopped_it_is_silent(line: Line) -> None:
    line.clock.begin()
    line.clock.stop()
    await asyncio.sleep(2 * WINDOW)
    assert not line.clock.stalled
