"""How large the next part is, and what a request costs on this link."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from asyncwds.runtime.units import KiB

GROWTH = 6
IN_FLIGHT = 0.85  # of the budget, at most
STEP = 256 * KiB
WEIGHT = 0.2  # of the latest part, in what a request costs
SHORT = 0.02  # [s]


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

    def _whole(self, size: int) -> int:
        return max(self.least, size - size % STEP)


@dataclass(slots=True)
class LinkSpeed:
    """Moving averages over parts: the time from a request to its answer [s], and the rate of one connection [bytes/s]."""

    first_byte: float = 0.0
    rate: float = 0.0

    def observe(self, waited: float, received: int, seconds: float) -> None:
        """A part of so many bytes that was answered after `waited` [s] and came within `seconds`."""
        weight = WEIGHT if self.rate else 1.0
        self.first_byte += weight * (waited - self.first_byte)
        if seconds > 0:
            self.rate += weight * (received / seconds - self.rate)

    @property
    def worth_a_request(self) -> int:
        """Bytes still to come on one connection of which another one had better bring half; any number while no part has come.

        They take it longer than twice an answer, and longer than a read that is under way: a part of a file comes at once.
        """
        return int(self.rate * max(2 * self.first_byte, SHORT)) or sys.maxsize
