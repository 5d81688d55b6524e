"""Many deadlines by one timer of the loop; and a limit that ends what a task waits for."""

import asyncio

import pytest

from asyncwds.runtime import Deadlines, TimeLimit

SOON = 0.01
NEVER = 60.0


async def forever() -> None:
    await asyncio.Event().wait()


async def test_they_come_in_order_whatever_order_they_were_added_in() -> None:
    deadlines, came, last = Deadlines(), [], asyncio.Event()
    deadlines.add(NEVER, lambda: came.append("never"))
    deadlines.add(3 * SOON, last.set)
    deadlines.add(2 * SOON, lambda: came.append("second"))
    deadlines.add(SOON, lambda: came.append("first"))
    await last.wait()
    assert came == ["first", "second"]
    deadlines.close()


async def test_what_is_dropped_does_not_come() -> None:
    deadlines, came, last = Deadlines(), [], asyncio.Event()
    number = deadlines.add(SOON, lambda: came.append("dropped"))
    deadlines.add(2 * SOON, last.set)
    deadlines.drop(number)
    deadlines.drop(number)
    await last.wait()
    assert came == []


async def test_one_may_drop_another_that_is_due_with_it_and_add_others() -> None:
    deadlines, came, last = Deadlines(), [], asyncio.Event()

    def first() -> None:
        deadlines.drop(second)
        deadlines.add(SOON, last.set)

    deadlines.add(0.0, first)
    second = deadlines.add(0.0, lambda: came.append("second"))
    await last.wait()
    assert came == []


async def test_after_one_that_fails_the_others_come(caplog: pytest.LogCaptureFixture) -> None:
    deadlines, last = Deadlines(), asyncio.Event()
    deadlines.add(0.0, [].pop)
    deadlines.add(SOON, last.set)
    await last.wait()
    assert "pop from empty list" in caplog.text


async def test_once_closed_nothing_comes() -> None:
    deadlines, came = Deadlines(), []
    deadlines.add(SOON, lambda: came.append("closed"))
    deadlines.close()
    await asyncio.sleep(2 * SOON)
    assert came == []


async def test_a_limit_ends_what_takes_longer() -> None:
    deadlines = Deadlines()
    with pytest.raises(TimeoutError), TimeLimit(deadlines, SOON):
        await forever()
    with TimeLimit(deadlines, NEVER):
        await asyncio.sleep(0)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    deadlines.close()


async def test_a_limit_without_a_time_ends_when_it_is_told_to_and_not_behind_its_context() -> None:
    limit = TimeLimit(Deadlines())
    limit.expire()
    asyncio.get_running_loop().call_soon(limit.expire)
    with pytest.raises(TimeoutError), limit:
        await forever()
    limit.expire()
    await asyncio.sleep(SOON)


async def test_errors_pass_a_limit() -> None:
    with pytest.raises(LookupError), TimeLimit(Deadlines(), NEVER):
        raise LookupError


@pytest.mark.parametrize("expired", [False, True])
async def test_who_is_cancelled_within_a_limit_stays_so(expired: bool) -> None:
    limit = TimeLimit(Deadlines())

    async def wait() -> None:
        with limit:
            await forever()

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    if expired:
        limit.expire()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
