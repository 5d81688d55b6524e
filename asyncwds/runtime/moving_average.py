"""`MovingAverage`: what usually comes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class MovingAverage:
    """Of values that come one after another, in which the latest has the weight `weight`. `value` is None before the first."""

    weight: float = 0.2
    value: float | None = None

    def add(self, latest: float) -> None:
        self.value = latest if self.value is None else self.value + self.weight * (latest - self.value)
