"""One budget for second requests and restarts."""

import pytest

from asyncwds.runtime import Counters
from asyncwds.storage.layers.extra_requests import FEW, affords_extra


@pytest.mark.parametrize(
    ("hedges", "restarts", "asked", "share", "affordable"),
    [
        (FEW - 1, 0, 0, 0.05, True),
        (FEW, 0, 0, 0.05, False),
        (0, FEW, 0, 0.05, False),
        (FEW - 1, 1, 0, 0.05, False),  # all kinds count together
        (FEW, 4, 100, 0.05, True),
        (5, FEW, 100, 0.05, False),
        (FEW, 0, 1000, 0.0, False),
    ],
)
def test_a_few_and_a_share_of_all_that_were_asked_for(hedges: int, restarts: int, asked: int, share: float, affordable: bool):
    assert affords_extra(Counters(hedges=hedges, restarts=restarts), asked, share) is affordable
