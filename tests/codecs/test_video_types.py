from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncwds.codecs import Sampling, require_room
from asyncwds.errors import SpecError


@pytest.mark.parametrize(
    ("sampling", "count", "indices"),
    [
        (Sampling(), 4, [0, 1, 2, 3]),
        (Sampling(frames=1), 9, [4]),
        (Sampling(frames=2), 8, [2, 6]),
        (Sampling(frames=4), 4, [0, 1, 2, 3]),
        (Sampling(frames=4), 2, [0, 0, 1, 1]),
        (Sampling(frames=3), 1, [0, 0, 0]),
        (Sampling(frames=3), 0, []),
        (Sampling(stride=3), 8, [0, 3, 6]),
        (Sampling(stride=3, frames=2), 8, [0, 3]),
        (Sampling(stride=3, frames=5), 8, [0, 3, 6]),
    ],
)
def test_frames_by_number(sampling: Sampling, count: int, indices: list[int]) -> None:
    assert sampling.indices(count) == indices


@given(st.integers(1, 50), st.integers(1, 500))
def test_so_many_frames_spread_evenly(frames: int, count: int) -> None:
    indices = Sampling(frames=frames).indices(count)
    assert len(indices) == frames
    assert indices == sorted(indices)
    assert 0 <= indices[0] <= indices[-1] < count
    gaps = [after - before for before, after in pairwise(indices)]
    assert all(abs(gap - count / frames) <= 1 for gap in gaps)
    assert abs((indices[0] + indices[-1]) / 2 - (count - 1) / 2) <= 1


@pytest.mark.parametrize(
    ("sampling", "begin", "end", "times"),
    [
        (Sampling(fps=2), 0.0, 2.0, [0.0, 0.5, 1.0, 1.5]),
        (Sampling(fps=2), 0.0, 2.0000001, [0.0, 0.5, 1.0, 1.5]),
        (Sampling(fps=2), 1.5, 2.2, [1.5, 2.0]),
        (Sampling(fps=2, frames=3), 0.0, 9.0, [0.0, 0.5, 1.0]),
        (Sampling(fps=0.1), 0.0, 3.0, [0.0]),
        (Sampling(fps=10), 0.0, 0.0, []),
    ],
)
def test_frames_by_time(sampling: Sampling, begin: float, end: float, times: list[float]) -> None:
    assert sampling.times(begin, end) == times


@pytest.mark.parametrize(
    "options", [{"frames": 0}, {"frames": 1.5}, {"stride": 0}, {"stride": "2"}, {"fps": 0}, {"fps": -1.0}, {"fps": 2, "stride": 2}]
)
def test_samplings_that_make_no_sense(options: dict[str, Any]) -> None:
    with pytest.raises(SpecError):
        Sampling(**options)


def test_room() -> None:
    require_room(10, 10)
    with pytest.raises(ValueError, match="more than 10 bytes"):
        require_room(11, 10)
