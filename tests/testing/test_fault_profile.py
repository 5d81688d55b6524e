"""Faults by chance: as often as they should be, and the same for the same seed."""

from collections import Counter

from asyncwds.testing import BAD_DAY, FaultProfile, FaultServer, Request

REQUEST = Request("GET", "/a.tar", {"host": "x", "range": "bytes=1000-8999"})


def test_faults_come_as_often_as_they_should():
    weather = FaultProfile(cut=0.1, reset=0.05, stall=0.02, busy=0.01, seed=1)
    met = Counter()
    for _ in range(10_000):
        fault = weather.fault(REQUEST)
        met["cut"] += fault.cut_at is not None
        met["reset"] += fault.reset_at is not None
        met["stall"] += fault.stall_at is not None
        met["busy"] += fault.status == 503
        assert all(at is None or 0 <= at < 8000 for at in (fault.cut_at, fault.reset_at, fault.stall_at))
    assert 900 < met["cut"] < 1100
    assert 420 < met["reset"] < 580
    assert 150 < met["stall"] < 250
    assert 70 < met["busy"] < 130


def test_first_bytes_are_as_late_as_they_should_be():
    weather = FaultProfile(**BAD_DAY, seed=2)
    delays = sorted(weather.fault(REQUEST).delay for _ in range(20_000))
    assert 0.018 < delays[10_000] < 0.022
    assert 1.5 < delays[19_800] < 2.6


def test_the_same_seed_gives_the_same_day():
    one, other = FaultProfile(**BAD_DAY, seed=3), FaultProfile(**BAD_DAY, seed=3)
    assert [one.fault(REQUEST) for _ in range(1000)] == [other.fault(REQUEST) for _ in range(1000)]


def test_without_weather_nothing_happens(server: FaultServer):
    assert {FaultProfile().fault(REQUEST).cut_at for _ in range(100)} == {None}
    assert FaultProfile(slow={"a.tar": 5.0}).fault(REQUEST).drip == 5.0
