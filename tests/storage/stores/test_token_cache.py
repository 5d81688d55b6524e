"""When credentials are fetched: a clock that the test sets, and a function that says what it was called for."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable

import pytest

from asyncwds.errors import AccessError
from asyncwds.storage import ExpiringToken
from asyncwds.storage.stores.auth import EARLY, TOO_LATE, TokenCache, for_ever


class Source:
    """Gives 1, 2, 3, …, each for `lifetime` [s]."""

    def __init__(self, lifetime: float = 3600.0) -> None:
        self.lifetime = lifetime
        self.now = 0.0
        self.calls = 0
        self.failing = False
        self.thread: threading.Thread | None = None

    def __call__(self) -> ExpiringToken[int]:
        self.calls += 1
        self.thread = threading.current_thread()
        if self.failing:
            raise AccessError("no more")
        end = self.now + self.lifetime
        return ExpiringToken(self.calls, lambda seconds: self.now + seconds >= end)


@pytest.fixture
async def hold() -> AsyncIterator[Callable[[Source], TokenCache[int]]]:
    held: list[TokenCache[int]] = []

    def make(source: Source) -> TokenCache[int]:
        held.append(TokenCache(source))
        return held[-1]

    yield make
    for each in held:
        await each.aclose()


async def test_it_is_fetched_once_for_all_who_wait_and_off_the_loop(hold: Callable) -> None:
    held = hold(source := Source())
    assert await asyncio.gather(*(held.get() for _ in range(20))) == [1] * 20
    assert await held.get() == 1
    assert source.calls == 1
    assert source.thread is not threading.current_thread()


async def test_before_the_end_it_is_renewed_while_the_old_one_is_used(hold: Callable) -> None:
    held = hold(source := Source(3600))
    await held.get()
    source.now = 3600 - EARLY + 1
    assert await held.get() == 1
    await held.aclose()
    assert await held.get() == 2


async def test_close_to_the_end_it_is_waited_for(hold: Callable) -> None:
    held = hold(source := Source(3600))
    await held.get()
    source.now = 3600 - TOO_LATE + 1
    assert await held.get() == 2


async def test_what_lasts_shortly_is_used_to_its_end(hold: Callable) -> None:
    held = hold(source := Source(10))
    assert [await held.get() for _ in range(5)] == [1] * 5
    source.now = 10
    assert await held.get() == 2


async def test_what_was_refused_is_fetched_anew_once(hold: Callable) -> None:
    held = hold(source := Source())
    old = await held.get()
    assert await asyncio.gather(*(held.get(refused=old) for _ in range(5))) == [2] * 5
    # One that was refused only after there was a new one.
    assert await held.get(refused=old) == 2
    assert source.calls == 2


async def test_an_early_renewal_that_fails_harms_nobody_and_is_not_repeated_at_once(hold: Callable) -> None:
    held = hold(source := Source(3600))
    await held.get()
    source.failing = True
    source.now = 3600 - EARLY + 1
    for _ in range(5):
        assert await held.get() == 1
        await held.aclose()
    assert source.calls == 2
    source.now = 3600
    with pytest.raises(AccessError):
        await held.get()
    source.failing = False
    assert await held.get() == 4


async def test_one_who_gives_up_waiting_spoils_nothing_for_others(hold: Callable) -> None:
    go_on = threading.Event()

    def slowly() -> ExpiringToken[int]:
        go_on.wait(10)
        return ExpiringToken(1, for_ever)

    held = hold(slowly)
    impatient, patient = asyncio.create_task(held.get()), asyncio.create_task(held.get())
    await asyncio.sleep(0.01)
    impatient.cancel()
    go_on.set()
    assert await patient == 1
