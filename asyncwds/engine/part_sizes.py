"""How large the next part is."""

from __future__ import annotations

from dataclasses import dataclass

from asyncwds.formatting.quantities import size
from asyncwds.runtime.units import KiB

GROWTH = 6
# Of the budget, at most. With 0.85, 64 connections of 100 MB/s with 200 ms to first byte reach 0.89 of the best setting, with this
# 0.93; with 1.0 links without delay lose 1 %.
IN_FLIGHT = 0.92
STEP = 256 * KiB


@dataclass(frozen=True, slots=True)
class PartSizes:
    """Sizes [bytes] between `least` and `most`, and between them multiples of `STEP`.

    What the reader comes to next is cut in small parts, so that all connections bring it: a part of 8 MiB at 40 MB/s takes 0.2 s,
    and all others would lie complete behind it. What is read later is cut in large ones: each part costs a connection the wait for
    a first byte. And parts are no larger than what lets all connections work within the budget.
    """

    least: int
    most: int

    def next(self, ahead: int, connections: int, budget: int) -> int:
        """For the part that begins so many [bytes] ahead of the reader."""
        return self._whole(min(GROWTH * ahead // connections, self.most_for(connections, budget)))

    def most_for(self, connections: int, budget: int) -> int:
        """So that all connections work, with some of the budget [bytes] left to parts that are complete before earlier ones."""
        return self._whole(min(self.most, int(budget * IN_FLIGHT) // connections))

    def explain(self, connections: int, budget: int) -> str:
        """How large parts are, and why."""
        most = self.most_for(connections, budget)
        if self.least == self.most:
            return f"{size(most)}: that was given"
        where = f"from {size(self.least)}, beside the reader, to {size(most)}"
        if most < self.most:
            return f"{where}: of larger ones {connections} would not fit in the {size(budget)} for parts"
        return f"{where}: the most, however few connections there are"

    def _whole(self, size: int) -> int:
        return max(self.least, size - size % STEP)
