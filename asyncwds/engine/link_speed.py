"""What a request costs on this link, as seen in the parts that have come."""

from __future__ import annotations

from dataclasses import dataclass

WEIGHT = 0.2  # of the latest part


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
    def answer_bytes(self) -> int:
        """What a connection brings in the time that another one needs to answer [bytes]."""
        return int(self.first_byte * self.rate)
