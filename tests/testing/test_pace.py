from __future__ import annotations

import pytest

from asyncwds.testing.connection import Pace


class Clock:
    """Time that passes when it is slept, and a little more: sleeps end late."""

    def __init__(self, late: float) -> None:
        self.now = 100.0
        self.late = late

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds + self.late


async def seconds_for(pace: Pace, clock: Clock, size: int) -> float:
    began = clock.now
    for start, stop in pace.pieces(size):
        await pace.wait(stop - start)
    return clock.now - began


@pytest.mark.parametrize("late", [0.0, 0.001, 0.005])
@pytest.mark.parametrize("rate", [1.0, 5e4, 5e6, 40e6, 400e6])
async def test_a_body_takes_its_time_however_late_the_sleeps_end(rate, late):
    clock = Clock(late)
    taken = await seconds_for(Pace(rate, clock=clock, sleep=clock.sleep), clock, int(rate))
    assert taken == pytest.approx(1.0, rel=0.01)


async def test_after_a_pause_no_burst_makes_up_for_it():
    clock = Clock(0.0)
    pace = Pace(40e6, clock=clock, sleep=clock.sleep)
    await seconds_for(pace, clock, 10_000_000)
    clock.now += 10
    assert await seconds_for(pace, clock, 40_000_000) == pytest.approx(0.95, rel=0.001)


async def test_without_a_rate_nothing_waits():
    clock = Clock(1.0)
    assert await seconds_for(Pace(None, clock=clock, sleep=clock.sleep), clock, 10**9) == 0


async def test_the_first_bytes_come_at_once_and_none_is_missed():
    clock = Clock(0.0)
    pieces = list(Pace(40e6, clock=clock, sleep=clock.sleep).pieces(3_000_000))
    assert pieces[0] == (0, 40_000)
    assert [start for start, _ in pieces] == [0, *[stop for _, stop in pieces[:-1]]]
    assert pieces[-1][1] == 3_000_000
