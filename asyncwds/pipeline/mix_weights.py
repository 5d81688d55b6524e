"""How often the members of a mix are drawn: numbers, a schedule of such by steps, or what was set by hand."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import pairwise
from math import inf, isfinite
from typing import Any, NamedTuple

from asyncwds import checks
from asyncwds.errors import SpecError
from asyncwds.formatting.texts import show_value

Schedule = Callable[[int], Sequence[float]] | Sequence[tuple[int, Sequence[float]]]


class Standing(NamedTuple):
    """Weights that hold until before the item of number `until`, unless others are set by hand."""

    values: list[float]
    until: float
    changes: int


class Weights:
    """`probs` are numbers, pairs of a step and such, or a function that gives such for a step."""

    def __init__(self, probs: Sequence[float] | Schedule | None, members: int) -> None:
        self._members = members
        self._function = probs if callable(probs) else None
        self._steps = [(0, checked_probs(None, members))] if callable(probs) else _checked_steps(probs, members)
        self.by_hand: list[float] | None = None
        self.changes = 0
        """How often they were set."""

    def set(self, weights: Sequence[float] | None) -> None:
        """From the next item on; None goes back to what the mix was made with."""
        self.by_hand = None if weights is None else checked_probs(weights, self._members)
        self.changes += 1

    def at(self, step: int, by_hand: list[float] | None) -> Standing:
        """Raises SpecError for what a function gives that is no weights."""
        if by_hand is not None:
            return Standing(by_hand, inf, self.changes)
        if self._function is not None:
            return Standing(checked_probs(self._function(step), self._members), step + 1, self.changes)
        number = bisect_right([begin for begin, _ in self._steps], step)
        until = self._steps[number][0] if number < len(self._steps) else inf
        return Standing(self._steps[max(0, number - 1)][1], until, self.changes)

    def same(self, standing: Standing, step: int) -> bool:
        """Whether a function gives the same for this step: then nothing needs to be counted anew."""
        return self._function is not None and list(self._function(step)) == standing.values


def _checked_steps(probs: Any, members: int) -> list[tuple[int, list[float]]]:
    if not is_schedule(probs):
        return [(0, checked_probs(probs, members))]
    steps = [(checks.whole("a step of a mix", step, 0), checked_probs(weights, members)) for step, weights in probs]
    if steps[0][0] != 0 or any(one >= other for (one, _), (other, _) in pairwise(steps)):
        raise SpecError(f"the steps of a mix begin with 0 and rise: {[step for step, _ in steps]}")
    return steps


def is_schedule(probs: Any) -> bool:
    """Whether it is pairs of a step and weights."""
    pairs = isinstance(probs, list | tuple) and len(probs) > 0
    return pairs and all(isinstance(pair, list | tuple) and len(pair) == 2 and hasattr(pair[1], "__iter__") for pair in probs)


def checked_probs(probs: Sequence[float] | None, members: int) -> list[float]:
    """Raises SpecError unless there is one for each member, none is negative, and one is above 0."""
    if probs is not None and not hasattr(probs, "__iter__"):
        raise SpecError(f"probabilities are numbers, one for each data set, not {show_value(probs)}")
    weights = [1.0] * members if probs is None else [checks.real("each of the probabilities", weight) for weight in probs]
    if len(weights) != members:
        raise SpecError(f"there are {len(weights)} probabilities for {members} data sets")
    if not all(isfinite(weight) and weight >= 0 for weight in weights) or (members and not any(weights)):
        raise SpecError(f"probabilities must not be negative, nor all 0: {weights}")
    return weights
