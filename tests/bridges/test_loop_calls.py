"""Coroutines that code that may block waits for."""

import asyncio
import gc
import threading
from contextlib import asynccontextmanager

import pytest

from asyncwds.bridges import LoopCalls
from asyncwds.errors import BridgeError


class Opened:
    """What is open on the loop; `log` has what happened."""

    def __init__(self):
        self.log = []

    @asynccontextmanager
    async def open(self):
        self.log.append("opened")
        try:
            yield self
        finally:
            self.log.append("closed")


async def answer(_, value):
    await asyncio.sleep(0)
    if isinstance(value, Exception):
        raise value
    return value


def test_calls_come_back_with_what_they_return_or_raise():
    opened = Opened()
    calls = LoopCalls(opened.open)
    assert calls.start(lambda each: answer(each, 3))() == 3
    with pytest.raises(ValueError, match="mine"):
        calls.start(lambda each: answer(each, ValueError("mine")))()
    waits = [calls.start(lambda each, n=n: answer(each, n)) for n in range(5)]
    assert [wait() for wait in reversed(waits)] == [4, 3, 2, 1, 0]
    calls.close()
    calls.close()
    assert opened.log == ["opened", "closed"]
    with pytest.raises(BridgeError):
        calls.start(lambda each: answer(each, 3))


def test_closing_ends_calls_that_wait():
    calls = LoopCalls(Opened().open)
    wait = calls.start(lambda _: asyncio.Event().wait())
    calls.close()
    with pytest.raises(BridgeError):
        wait()


def test_what_cannot_be_opened_is_raised_at_once():
    @asynccontextmanager
    async def fails():
        raise OSError("no such thing")
        yield

    with pytest.raises(OSError, match="no such thing"):
        LoopCalls(fails)


def test_one_that_is_dropped_ends_its_thread():
    opened, before = Opened(), threading.active_count()

    class Owner:
        def __init__(self):
            self.calls = LoopCalls(opened.open)

        async def work(self, _):
            return 1

        def run(self):
            return self.calls.start(self.work)()

    assert Owner().run() == 1
    gc.collect()
    assert (opened.log, threading.active_count()) == (["opened", "closed"], before)
