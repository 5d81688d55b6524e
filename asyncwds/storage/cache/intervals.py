"""Sets of bytes of an object, as spans [start, stop). No I/O."""

from __future__ import annotations

from bisect import bisect_left, bisect_right


class Intervals:
    """Disjoint spans in order; those that touch are one."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []

    def __iter__(self) -> zip[tuple[int, int]]:
        return zip(self._starts, self._stops, strict=True)

    def add(self, start: int, stop: int) -> None:
        if start >= stop:
            return
        first, last = bisect_left(self._stops, start), bisect_right(self._starts, stop)
        if first < last:
            start, stop = min(start, self._starts[first]), max(stop, self._stops[last - 1])
        self._starts[first:last], self._stops[first:last] = [start], [stop]

    def remove(self, start: int, stop: int) -> None:
        first, last = bisect_right(self._stops, start), bisect_left(self._starts, stop)
        if start >= stop or first >= last:
            return
        left = [(self._starts[first], start)] if self._starts[first] < start else []
        right = [(stop, self._stops[last - 1])] if stop < self._stops[last - 1] else []
        self._starts[first:last] = [begin for begin, _ in left + right]
        self._stops[first:last] = [end for _, end in left + right]

    def end_of(self, position: int) -> int:
        """Where the span that has the byte at `position` ends; `position` itself if none has it."""
        index = bisect_right(self._starts, position) - 1
        return max(position, self._stops[index]) if index >= 0 else position

    def next_start(self, position: int, default: int) -> int:
        """Where the first span at or behind `position` begins, at most `default`."""
        index = bisect_left(self._starts, position)
        return min(self._starts[index], default) if index < len(self._starts) else default
