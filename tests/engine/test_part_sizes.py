"""How large parts are."""

from __future__ import annotations

import pytest

from asyncwds.engine.tuning import PartSizes
from asyncwds.runtime import MiB

SIZES = PartSizes(MiB, 8 * MiB)
BUDGET = 224 * MiB


@pytest.mark.parametrize(
    ("ahead", "connections", "size"),
    [
        (0, 16, MiB),  # what the reader comes to next
        (8 * MiB, 16, 3 * MiB),
        (100 * MiB, 16, 8 * MiB),
        (100 * MiB, 64, 3 * MiB),  # all of them within the budget
        (100 * MiB, 1000, MiB),  # no smaller
    ],
)
def test_parts_grow_with_their_distance_to_the_reader(ahead, connections, size):
    assert SIZES.next(ahead, connections, BUDGET) == size


def test_a_size_that_was_asked_for_is_kept():
    assert {PartSizes(3 * MiB, 3 * MiB).next(ahead * MiB, 16, BUDGET) for ahead in range(100)} == {3 * MiB}
