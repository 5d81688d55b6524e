"""How far ahead the engine reads, fed with made-up times."""

from asyncwds.engine.readahead import LEAST, ReadAhead


def after(*spans: tuple[float, float]) -> int:
    """Parts after spans of (seconds, seconds waited in them)."""
    ahead, now, starved, parts = ReadAhead(), 100.0, 3.0, 0
    ahead.observe(now, starved)
    for seconds, waited in spans:
        now, starved = now + seconds, starved + waited
        parts = ahead.observe(now, starved)
    return parts


def test_a_reader_that_never_waits_gets_the_least():
    assert after((10, 0)) == LEAST


def test_waiting_adds_parts_at_once():
    assert after((0.05, 0.05)) == LEAST + 5
    assert after((0.01, 0.01)) < after((0.1, 0.1)) < after((1, 1))


def test_being_served_takes_them_away_slowly():
    assert after((0.2, 0.2), (10, 0)) == LEAST + 10
    assert after((0.2, 0.2), (60, 0)) == LEAST


def test_a_reader_that_waits_a_little_all_the_time_keeps_what_it_has():
    assert after((0.1, 0.1), *[(0.1, 0.002)] * 100) >= LEAST + 10
