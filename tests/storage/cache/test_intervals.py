from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from asyncwds.storage.cache.journal import Intervals

BYTES = 60
spans = st.tuples(st.integers(0, BYTES), st.integers(0, BYTES))


@given(st.lists(st.tuples(st.booleans(), spans)), st.integers(0, BYTES))
def test_spans_are_sets_of_bytes(steps, position):
    found, expected = Intervals(), set()
    for adds, (start, stop) in steps:
        (found.add if adds else found.remove)(start, stop)
        expected = expected | set(range(start, stop)) if adds else expected - set(range(start, stop))
    listed = list(found)
    assert [byte for start, stop in listed for byte in range(start, stop)] == sorted(expected)
    assert all(before[1] < after[0] for before, after in pairwise(listed)), "spans that touch are one"
    end = position
    while end in expected:
        end += 1
    assert found.end_of(position) == end
    starts = [start for start, _ in listed if start >= position]
    assert found.next_start(position, BYTES + 1) == min([*starts, BYTES + 1])
    assert found.next_start(position, position) == position
