"""How far ahead the engine reads, fed with made-up times."""

from collections.abc import Iterable
from itertools import repeat

from asyncwds.engine.tuning import FIRST, LEAST, ReadAhead


def after(*spans: tuple[float, float], resting: Iterable[bool] = repeat(True)) -> int:
    """Parts after spans of (seconds, seconds waited in them)."""
    ahead, now, starved, parts = ReadAhead(), 100.0, 3.0, 0
    ahead.observe(now, starved, resting=True)
    for (seconds, waited), rested in zip(spans, resting, strict=False):
        now, starved = now + seconds, starved + waited
        parts = ahead.observe(now, starved, resting=rested)
    return parts


def test_a_reader_that_never_waits_gets_the_least():
    assert after((10, 0)) == LEAST


def test_waiting_adds_parts_at_once():
    assert after((0.05, 0.05)) == FIRST + 5
    assert after((0.01, 0.01)) < after((0.1, 0.1)) < after((1, 1))


def test_being_served_takes_them_away_slowly():
    assert after((0.2, 0.2), (10, 0)) == FIRST + 10
    assert after((0.2, 0.2), (60, 0)) == LEAST


def test_a_reader_that_waits_a_little_all_the_time_keeps_what_it_has():
    assert after((0.1, 0.1), *[(0.1, 0.002)] * 100) >= LEAST + 10


def test_waiting_that_reading_ahead_could_not_have_spared_adds_none():
    assert after((5, 5), resting=[False]) == FIRST


def test_a_burst_after_a_rest_adds_parts():
    assert after((30, 0), (0.2, 0.2), resting=[True, False]) == LEAST + 20
    assert after((0.05, 0), (5, 5), resting=[True, False]) == FIRST + 5
