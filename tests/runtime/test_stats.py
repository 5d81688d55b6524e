from __future__ import annotations

import time
from dataclasses import replace

import pytest

from asyncwds import Stats
from asyncwds.runtime import Counters
from asyncwds.runtime.bottleneck import own_times
from asyncwds.runtime.counters import Totals, split_wait
from asyncwds.runtime.stats import mixed, with_head


def stats(**fields) -> Stats:
    return Stats(**{"seconds": 10.0, "samples": 100, "bytes": 1_000_000_000, **fields})


@pytest.mark.parametrize(
    ("fields", "limit", "words"),
    [
        ({"samples": 0, "times": {"network": 10.0}}, "nothing yet", "nothing yet"),
        (
            {"times": {"network": 0.5, "consumer": 9.5}},
            "consumer",
            "consumer-bound: it takes 100 MB/s; of 10.0 s consumer 95 %, network 5 %",
        ),
        (
            {"times": {"network": 8.0, "parser": 1.0, "consumer": 1.0}, "in_flight_peak": 4},
            "network",
            "network-bound: 4 connections x 25 MB/s; of 10.0 s network 80 %, parser 10 %, consumer 10 %",
        ),
        ({"times": {"disk": 10.0}, "in_flight_peak": 4}, "disk", "disk-bound: 100 MB/s; of 10.0 s disk 100 %"),
        ({"times": {"shards": 10.0}, "shards": 4}, "shards", "shards-bound: 0.4 shards/s; of 10.0 s shards 100 %"),
        ({"times": {"source": 10.0}}, "source", "source-bound: 100 MB/s; of 10.0 s source 100 %"),
        (
            {"times": {"parser": 8.0, "consumer": 2.0}, "parsed": 8.0},
            "parser",
            "parser-bound: 125 MB/s is what one core unpacks; of 10.0 s parser 80 %, consumer 20 %",
        ),
        (
            {"times": {"parser": 8.0, "consumer": 2.0}, "parsed": 8.0, "samples": 800_000},
            "parser",
            "parser-bound: 100000 samples/s is what one core unpacks; of 10.0 s parser 80 %, consumer 20 %",
        ),
        ({"times": {"decode": 10.0}}, "decode", "decode-bound: 10 samples/s; of 10.0 s decode 100 %"),
        (
            {"times": {"map(f)": 9.0, "consumer": 1.0}, "samples": 0},
            "map(f)",
            "map(f)-bound: 9.0 s; of 10.0 s map(f) 90 %, consumer 10 %",
        ),
        (
            {"times": {"loader": 20.0}, "workers": 2},
            "loader",
            "loader-bound: 10 samples/s; of 10.0 s in 2 workers loader 100 %",
        ),
    ],
)
def test_the_limit_in_plain_words(fields, limit, words):
    assert (stats(**fields).limit, stats(**fields).summary()) == (limit, words)


@pytest.mark.parametrize(
    ("before", "after", "times"),
    [
        ((0.0, 0.0, 0, 0, 0), (0.0, 0.0, 10, 0, 0), {"network": 2.0}),
        ((0.0, 0.0, 10, 0, 0), (0.0, 0.0, 20, 10, 0), {"disk": 2.0}),
        ((0.0, 0.0, 0, 0, 0), (0.0, 0.0, 20, 0, 20), {"source": 2.0}),
        ((1.0, 1.0, 0, 0, 0), (1.25, 1.25, 40, 10, 0), {"network": 1.125, "disk": 0.375, "parser": 0.25, "shards": 0.25}),
        ((1.0, 1.0, 40, 40, 0), (9.0, 9.0, 40, 40, 0), {"parser": 2.0}),
        ((1.0, 1.0, 40, 40, 0), (1.5, 9.0, 40, 40, 0), {"parser": 0.5, "shards": 1.5}),
        ((0.0, 0.0, 40, 40, 0), (0.0, 0.0, 40, 40, 0), {"disk": 2.0}),
        ((0.0, 0.0, 0, 0, 0), (0.0, 0.0, 0, 0, 0), {"source": 2.0}),
    ],
    ids=["network", "disk", "source", "all", "parser", "shards", "as before", "a fetcher that counts nothing"],
)
def test_waiting_is_for_what_the_engine_did_meanwhile(before, after, times):
    found = split_wait(2.0, Totals(*before), Totals(*after))
    assert {name: seconds for name, seconds in found.items() if seconds} == times


def test_a_stage_takes_what_those_before_it_did_not():
    assert own_times([("a", 1.0), ("b", 4.0), ("b", 4.5), ("c", 4.4), ("d", 5.0)]) == {
        "a": 1.0,
        "b": 3.0,
        "b (2)": 0.5,
        "c": 0.0,
        "d": 0.5,
    }


def test_what_a_pipeline_begins_with_is_resolved():
    own = Stats(seconds=10.0, times={"DataLoader": 6.0, "map(f)": 1.0, "consumer": 3.0})
    inner = Stats(seconds=9.0, workers=2, samples=7, times={"network": 12.0, "map(f)": 3.0, "consumer": 3.0})
    found = with_head(own, "DataLoader", inner)
    assert (found.seconds, found.workers, found.samples) == (10.0, 2, 7)
    # Starting the workers took 1 s; the 5 s left are divided as the workers' 18 s are.
    assert found.times == pytest.approx({"network": 10 / 3, "map(f)": 1 + 5 / 6, "loader": 1 + 5 / 6, "consumer": 3.0})
    here = replace(inner, workers=0)
    assert with_head(own, "DataLoader", here).times == pytest.approx({"network": 4.8, "map(f)": 2.2, "consumer": 3.0})
    assert with_head(own, "DataLoader", Stats()).times == own.times
    both = with_head(replace(own, workers=2), "DataLoader", inner)  # in the same workers
    assert (both.workers, both.times) == (2, with_head(own, "DataLoader", here).times)
    assert with_head(Stats(), "DataLoader", inner) == inner


def test_members_of_a_mix_take_their_time_in_turn():
    members = [Stats(seconds=4.0, samples=1, times={name: 1.0, "consumer": 3.0}) for name in ("network", "decode")]
    found = mixed(members)
    assert (found.seconds, found.samples, found.times) == (4.0, 2, {"network": 1.0, "decode": 1.0, "consumer": 2.0})
    assert mixed([]) == Stats()


def test_waiting_counts_while_it_lasts():
    counters = Counters(started=time.monotonic() - 1.0)
    with counters.waiting():
        counters.bytes = 10
        now = counters.snapshot()
    assert 0 < now.times["network"] <= counters.snapshot().times["network"] == counters.waited


def test_rates_and_the_median_first_byte():
    found = stats(first_bytes=(0.3, 0.1, 0.2))
    assert (found.bytes_per_second, found.samples_per_second, found.first_byte) == (1e8, 10.0, 0.2)
    assert (Stats().bytes_per_second, Stats().samples_per_second, Stats().first_byte) == (0.0, 0.0, None)


def test_a_snapshot_has_every_counter_and_does_not_change():
    counters = Counters(started=0.0, samples=3, bytes=10, waited=0.5)
    counters.first_bytes.append(0.1)
    found = counters.snapshot()
    counters.samples += 1
    assert (found.samples, found.bytes, found.waited, found.first_bytes) == (3, 10, 0.5, (0.1,))
    assert found.seconds >= 0
    counters.ended = 2.0
    assert counters.snapshot().seconds == 2.0


def test_what_is_waited_for_is_said_and_does_not_grow_after_the_end():
    stats = Counters(started=0.0, ended=10.0, waiting_for="https://data.example", waiting_since=4.0).snapshot()
    assert (stats.waiting_for, stats.waiting) == ("https://data.example", 6.0)
    assert stats.summary() == "https://data.example has not answered for 6 s"
    assert Counters(started=0.0, ended=10.0).snapshot().waiting == 0.0
