from __future__ import annotations

import time

import pytest

from asyncwds.runtime.stats import Counters, Stats


def stats(**fields) -> Stats:
    return Stats(**{"seconds": 10.0, "samples": 100, "bytes": 1_000_000_000, **fields})


@pytest.mark.parametrize(
    ("fields", "limit", "words"),
    [
        ({"samples": 0}, "nothing yet", "nothing yet"),
        ({"waited": 0.5}, "consumer", "consumer-bound: it takes 100 MB/s, the consumer waited 0.5 of 10.0 s"),
        (
            {"waited": 9.0, "starved": 8.0, "parsed": 1.0, "in_flight_peak": 4},
            "network",
            "network-bound: 4 connections x 25 MB/s, the consumer waited 9.0 of 10.0 s",
        ),
        (
            {"waited": 9.0, "starved": 1.0, "parsed": 8.0},
            "parser",
            "parser-bound: 100 MB/s is what one core unpacks, the consumer waited 9.0 of 10.0 s",
        ),
    ],
)
def test_the_limit_in_plain_words(fields, limit, words):
    assert (stats(**fields).limit, stats(**fields).summary()) == (limit, words)


def test_rates_and_the_median_first_byte():
    found = stats(first_bytes=(0.3, 0.1, 0.2))
    assert (found.bytes_per_second, found.samples_per_second, found.first_byte) == (1e8, 10.0, 0.2)
    assert (Stats().bytes_per_second, Stats().samples_per_second, Stats().first_byte) == (0.0, 0.0, None)


def test_a_snapshot_has_every_counter_and_does_not_change():
    counters = Counters(samples=3, bytes=10, waited=0.5)
    counters.first_bytes.append(0.1)
    found = counters.snapshot()
    counters.samples += 1
    assert (found.samples, found.bytes, found.waited, found.first_bytes) == (3, 10, 0.5, (0.1,))
    assert found.seconds >= 0
    counters.ended = counters.started + 2.0
    time.sleep(0)
    assert counters.snapshot().seconds == 2.0


def test_what_is_waited_for_is_said_and_does_not_grow_after_the_end():
    stats = Counters(started=0.0, ended=10.0, waiting_for="https://data.example", waiting_since=4.0).snapshot()
    assert (stats.waiting_for, stats.waiting) == ("https://data.example", 6.0)
    assert stats.summary() == "https://data.example has not answered for 6 s"
    assert Counters(started=0.0, ended=10.0).snapshot().waiting == 0.0
