"""The controller against models of links: it must find what fills them, and let go when asked."""

from __future__ import annotations

from itertools import pairwise
from math import inf

import pytest

from asyncwds.engine.tuning import HIGHEST, INTERVAL, START, ConnectionTuner


def drive(
    tuner: ConnectionTuner, rate, *, intervals: int, waiting=lambda interval: 1.0, throttled=lambda connections: 0
) -> list[int]:
    """Feeds the tuner with a link that gives `rate(connections)` bytes/s; returns the connections after each interval."""
    now, received, starved, throttles, history = 0.0, 0.0, 0.0, 0, []
    tuner.observe(now, 0, 0.0, 0, 0.05)
    for interval in range(intervals):
        received += rate(tuner.connections) * INTERVAL
        throttles += throttled(tuner.connections)
        starved += waiting(interval) * INTERVAL
        now += INTERVAL
        history.append(tuner.observe(now, int(received), starved, throttles, 0.05))
    return history


def test_it_climbs_while_each_connection_adds_speed():
    assert drive(ConnectionTuner(), lambda connections: connections * 40e6, intervals=12)[-1] == HIGHEST


def test_it_stays_near_what_fills_the_link():
    history = drive(ConnectionTuner(), lambda connections: min(connections * 40e6, 480e6), intervals=15)
    assert 12 <= history[-1] <= 18


def test_a_full_link_is_tried_again_only_after_a_rest():
    history = drive(ConnectionTuner(), lambda connections: 320e6, intervals=15)
    assert sum(later != earlier for earlier, later in pairwise(history)) <= 2
    assert history[-1] == START


def test_it_goes_down_while_the_consumer_is_the_limit_and_back_at_once():
    tuner = ConnectionTuner(lowest=2)
    history = drive(tuner, lambda connections: connections * 40e6, intervals=62, waiting=lambda interval: float(interval >= 60))
    assert history[:60] == sorted(history[:60], reverse=True)
    assert (history[0], history[59]) == (START, 2)
    assert history[60] == START


def test_it_halves_when_asked_to_slow_down_and_never_below_one():
    history = drive(ConnectionTuner(), lambda connections: connections * 40e6, intervals=6, throttled=lambda connections: 1)
    assert history == [8, 4, 2, 1, 1, 1]


def test_a_link_that_grows_is_found_again():
    tuner = ConnectionTuner()
    drive(tuner, lambda connections: 320e6, intervals=5)
    assert drive(tuner, lambda connections: connections * 40e6, intervals=60)[-1] == HIGHEST


def test_at_the_beginning_it_decides_as_soon_as_a_step_can_show():
    tuner, now, received = ConnectionTuner(), 0.0, 0.0
    while tuner.connections < HIGHEST:
        tuner.observe(now, int(received), now, 0, 0.05)
        received += tuner.connections * 40e6 * 0.01
        now += 0.01
    assert now < 0.5


@pytest.mark.parametrize(
    ("intervals", "most", "options", "connections", "why"),
    [
        (1, inf, {}, 32, "the reader waits: do they bring more than the 640 MB/s of 16?"),
        (3, inf, {}, 64, "they bring 2560 MB/s, 32 brought 1280 MB/s"),
        (3, 650e6, {}, 16, "32 brought 650 MB/s and these 640 MB/s; more are kept where they bring 5 % more"),
        (1, inf, {"throttled": lambda connections: 1}, 8, "the server asked for fewer requests"),
        (
            6,
            inf,
            {"waiting": lambda interval: 0.0},
            12,
            "the reader does not wait: consumer or parser are slower",
        ),
        (7, inf, {"waiting": lambda interval: float(interval >= 6)}, 16, "the reader waits again, and did not with so many"),
    ],
)
def test_it_says_why(intervals, most, options, connections, why):
    tuner = ConnectionTuner()
    drive(tuner, lambda connections: min(connections * 40e6, most), intervals=intervals, **options)
    assert (tuner.connections, tuner.why) == (connections, why)
    assert ConnectionTuner().why == "that is what it begins with"
