"""`Hedged` around a fetcher whose answers come when the test says so."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from asyncwds import Retry
from asyncwds.errors import FetchError
from asyncwds.runtime import Counters
from asyncwds.storage import Answer, Body, Hedged, ObjectRange
from asyncwds.storage.layers.hedge import FEW, MIN_SEEN, affords_extra

RETRY = Retry(hedge=0.95, hedge_extra=0.5)
LATE = 0.1  # [s] five times the least patience


@dataclass
class Delayed:
    """How one request goes: answered after `answers_after` [s], None never; then an error, or a body."""

    answers_after: float | None = 0.0
    error: FetchError | None = None
    closes_after: float = 0.0


NEVER = Delayed(None)


@dataclass
class NumberedBody:
    number: int

    @property
    def answer(self) -> Answer:
        return Answer(1, 10, None, ranged=True)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"x"


class Waiting:
    """A fetcher that takes its time; knows what is under way, open and closed."""

    def __init__(self, counters: Counters, *plan: Delayed) -> None:
        self._counters = counters
        self._plan = list(plan)
        self.asked = 0
        self.under_way = 0
        self.closed = False

    @asynccontextmanager
    async def open(self, wanted: ObjectRange, *, buffer: memoryview | None = None) -> AsyncIterator[NumberedBody]:
        assert wanted == ObjectRange("u", 1, 2, "id")
        assert self.under_way == 0 or buffer is None, "two write to one buffer"
        number = self.asked
        self.asked += 1
        self._counters.requests += 1
        turn = self._plan[number] if number < len(self._plan) else Delayed()
        self.under_way += 1
        try:
            await (asyncio.Event().wait() if turn.answers_after is None else asyncio.sleep(turn.answers_after))
            if turn.error is not None:
                raise turn.error
            try:
                yield NumberedBody(number)
            finally:
                await asyncio.sleep(turn.closes_after)
        finally:
            self.under_way -= 1

    async def aclose(self) -> None:
        self.closed = True


def setup(*plan: Delayed, retry: Retry = RETRY, seen: float = 0.0, count: int = 100) -> tuple[Hedged, Waiting, Counters]:
    """`count` answers were seen before, each after `seen` [s]."""
    counters = Counters(requests=count)
    counters.first_bytes.extend([seen] * count)
    waiting = Waiting(counters, *plan)
    return Hedged(waiting, retry, counters), waiting, counters


async def first_answer(hedged: Hedged, waiting: Waiting) -> int:
    """Number of the request whose answer is used. Only that one is still open while it is."""
    async with hedged.open(ObjectRange("u", 1, 2, "id")) as body:
        assert waiting.under_way == 1
        number = body.number
        assert [chunk async for chunk in body] == [b"x"]
    assert waiting.under_way == 0
    return number


async def first_answer_of(hedged: Hedged) -> None:
    async with hedged.open(ObjectRange("u", 1, 2, "id")):
        pass


async def test_answers_in_time_are_left_alone() -> None:
    hedged, waiting, counters = setup()
    for number in range(10):
        assert await first_answer(hedged, waiting) == number
    assert (waiting.asked, counters.hedges) == (10, 0)


async def test_a_late_answer_is_overtaken_and_closed() -> None:
    hedged, waiting, counters = setup(NEVER)
    assert await first_answer(hedged, waiting) == 1
    assert (waiting.asked, counters.hedges) == (2, 1)


async def test_the_first_may_still_win() -> None:
    hedged, waiting, counters = setup(Delayed(LATE), NEVER)
    assert await first_answer(hedged, waiting) == 0
    assert (waiting.asked, counters.hedges) == (2, 1)


async def test_both_may_answer_at_once() -> None:
    hedged, waiting, _ = setup(Delayed(LATE), Delayed(LATE - 0.02))
    await first_answer(hedged, waiting)


@pytest.mark.parametrize("retry", [Retry(hedge=None), Retry(hedge_extra=0.0)])
async def test_none_where_none_are_wanted(retry: Retry) -> None:
    hedged, waiting, counters = setup(Delayed(LATE), retry=retry)
    assert await first_answer(hedged, waiting) == 0
    assert counters.hedges == 0


async def test_none_until_enough_answers_were_seen() -> None:
    hedged, waiting, counters = setup(Delayed(LATE), Delayed(LATE), count=MIN_SEEN - 1)
    assert await first_answer(hedged, waiting) == 0
    assert counters.hedges == 0


async def test_while_few_answers_were_seen_late_is_a_second() -> None:
    hedged, waiting, counters = setup(NEVER, count=0)
    assert await first_answer(hedged, waiting) == 1
    assert counters.hedges == 1


async def test_while_few_answers_were_seen_there_are_few() -> None:
    hedged, waiting, counters = setup(*[NEVER] * 100, count=0)
    opened = [asyncio.create_task(first_answer_of(hedged)) for _ in range(2 * FEW)]
    await asyncio.sleep(1.5)
    for task in opened:
        task.cancel()
    await asyncio.wait(opened)
    assert counters.hedges == FEW
    assert waiting.under_way == 0


async def test_late_is_later_than_most() -> None:
    hedged, waiting, counters = setup(Delayed(LATE), seen=10.0)
    assert await first_answer(hedged, waiting) == 0
    assert counters.hedges == 0


async def test_they_stay_below_their_part_of_all_requests() -> None:
    hedged, waiting, counters = setup(*[Delayed(0.03)] * 60, retry=Retry(hedge_extra=0.1), count=MIN_SEEN)
    for _ in range(20):
        await first_answer(hedged, waiting)
    assert 0 < counters.hedges <= 0.1 * waiting.asked + FEW + 1


async def test_redirects_do_not_count() -> None:
    """A store that redirects makes three requests of each; five hundredths of what is asked for stay that."""
    hedged, waiting, counters = setup(*[Delayed(0.03)] * 60, retry=Retry(hedge_extra=0.1), count=MIN_SEEN)
    for _ in range(20):
        counters.requests += 2
        await first_answer(hedged, waiting)
    assert 0 < counters.hedges <= 0.1 * waiting.asked + FEW + 1


async def test_failures_in_time_are_the_answer() -> None:
    hedged, waiting, _ = setup(Delayed(error=FetchError("no")))
    with pytest.raises(FetchError, match="no"):
        await first_answer(hedged, waiting)
    assert (waiting.asked, waiting.under_way) == (1, 0)


@pytest.mark.parametrize(
    ("plan", "winner"),
    [
        ([Delayed(LATE, FetchError("late")), Delayed(2 * LATE)], 1),
        ([Delayed(2 * LATE), Delayed(0.0, FetchError("soon"))], 0),
    ],
)
async def test_a_failure_loses_against_an_answer_that_is_still_to_come(plan: list[Delayed], winner: int) -> None:
    hedged, waiting, _ = setup(*plan)
    assert await first_answer(hedged, waiting) == winner


async def test_two_failures_are_a_failure() -> None:
    hedged, waiting, _ = setup(Delayed(LATE, FetchError("one")), Delayed(0.0, FetchError("two")))
    with pytest.raises(FetchError, match="one|two"):
        await first_answer(hedged, waiting)
    assert waiting.under_way == 0


PLANS = {
    "before_it_is_late": [NEVER],
    "both_under_way": [NEVER, NEVER],
    "the_loser_closes_slowly": [Delayed(LATE, closes_after=0.1), Delayed(LATE - 0.02, closes_after=0.1)],
    "in_the_body": [NEVER, Delayed()],
    "the_winner_closes_slowly": [NEVER, Delayed(closes_after=0.1)],
    "while_one_failed": [Delayed(0.04, FetchError("no")), NEVER],
}


@pytest.mark.parametrize("cancels", [1, 2])
@pytest.mark.parametrize("plan", PLANS)
async def test_fault_37_cancelled_at_any_await_it_leaves_nothing(plan: str, cancels: int) -> None:
    for wait in (0.0, 0.01, 0.03, 0.06, 0.105, 0.15):
        hedged, waiting, _ = setup(*PLANS[plan])
        task = asyncio.create_task(hold(hedged))
        await asyncio.sleep(wait)
        for _ in range(cancels):
            task.cancel()
            await asyncio.sleep(0)
        await asyncio.wait([task])
        assert task.cancelled()
        assert waiting.under_way == 0
        assert len(asyncio.all_tasks()) == 1


async def hold(hedged: Hedged) -> Body:
    async with hedged.open(ObjectRange("u", 1, 2, "id")):
        await asyncio.Event().wait()
    raise AssertionError


async def test_closing_closes_what_is_inside() -> None:
    hedged, waiting, _ = setup()
    await hedged.aclose()
    assert waiting.closed


@pytest.mark.parametrize(
    ("hedges", "restarts", "asked", "share", "affordable"),
    [
        (FEW - 1, 0, 0, 0.05, True),
        (FEW, 0, 0, 0.05, False),
        (0, FEW, 0, 0.05, False),
        (FEW - 1, 1, 0, 0.05, False),  # all kinds count together
        (FEW, 4, 100, 0.05, True),
        (5, FEW, 100, 0.05, False),
        (FEW, 0, 1000, 0.0, False),
    ],
)
def test_a_few_and_a_share_of_all_that_were_asked_for(hedges: int, restarts: int, asked: int, share: float, affordable: bool):
    assert affords_extra(Counters(hedges=hedges, restarts=restarts), asked, share) is affordable
