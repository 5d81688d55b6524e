"""Orders whose quality can be told without counting."""

from __future__ import annotations

from itertools import product
from random import Random

import pytest

from asyncwds.shards import measure_shuffle

PLACES = list(product(range(20), range(100)))


def test_an_order_without_shuffle():
    quality = measure_shuffle(PLACES)
    assert quality.same_shard == pytest.approx(1980 / 1999)
    assert (quality.apart, quality.distance, quality.shards_in_window) == (1, 1 / 2000, pytest.approx(3.4, abs=0.2))


def test_a_random_order_has_what_is_said_of_one():
    quality = measure_shuffle(Random(1).sample(PLACES, len(PLACES)))
    assert quality.same_shard == pytest.approx(quality.same_shard_random, abs=0.02)
    assert quality.distance == pytest.approx(quality.distance_random, abs=0.02)
    assert quality.shards_in_window == pytest.approx(quality.shards_in_window_random, abs=0.01)


def test_no_neighbours_of_one_shard():
    turns = [(shard, ordinal) for ordinal, shard in product(range(100), range(20))]
    quality = measure_shuffle(turns)
    assert (quality.same_shard, quality.apart) == (0, None)


@pytest.mark.parametrize("places", [[], [(0, 0)]])
def test_one_sample_has_no_neighbour(places):
    assert measure_shuffle(places) is None


def test_shards_of_unequal_length_and_one_that_did_not_come():
    quality = measure_shuffle([(0, 0), (3, 9), (0, 1)])
    assert quality.distance == pytest.approx(median_of(11, 10) / 12)


def median_of(a: int, b: int) -> float:
    return (a + b) / 2
