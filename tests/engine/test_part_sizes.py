"""How large parts are."""

from __future__ import annotations

import sys

import pytest

from asyncwds.engine.part_sizes import LinkSpeed, PartSizes
from asyncwds.runtime import MiB

SIZES = PartSizes(MiB, 8 * MiB)
BUDGET = 224 * MiB


@pytest.mark.parametrize(
    ("ahead", "connections", "size"),
    [
        (0, 16, MiB),  # what the reader comes to next
        (8 * MiB, 16, 3 * MiB),
        (100 * MiB, 16, 8 * MiB),
        (100 * MiB, 64, 2.75 * MiB),  # all of them within the budget
        (100 * MiB, 1000, MiB),  # no smaller
    ],
)
def test_parts_grow_with_their_distance_to_the_reader(ahead, connections, size):
    assert SIZES.next(ahead, connections, BUDGET) == size


def test_a_size_that_was_asked_for_is_kept():
    assert {PartSizes(3 * MiB, 3 * MiB).next(ahead * MiB, 16, BUDGET) for ahead in range(100)} == {3 * MiB}


def test_the_first_part_tells_the_speed_of_a_link_and_later_ones_change_it():
    link = LinkSpeed()
    assert link.worth_a_request == sys.maxsize
    link.observe(0.05, 8_000_000, 0.2)
    assert (link.first_byte, link.rate, link.worth_a_request) == (0.05, 40e6, 4_000_000)
    for _ in range(50):
        link.observe(0.01, 8_000_000, 0.8)
    assert link.worth_a_request == pytest.approx(200_000, rel=0.01)
    link.observe(0.01, 0, 0.0)
    assert link.rate == pytest.approx(10e6, rel=0.01)


def test_what_comes_at_once_is_never_asked_for_in_halves():
    link = LinkSpeed()
    link.observe(0.0001, 8_000_000, 0.008)
    assert link.worth_a_request > 8_000_000
