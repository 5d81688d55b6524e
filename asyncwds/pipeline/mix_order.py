"""In which order the items of several iterators come: in turn, or by chance."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from math import isfinite
from random import Random
from typing import Any

from asyncwds import checks
from asyncwds.errors import SpecError

_END = object()


def round_robin_shortest(*sources: Iterator[Any]) -> Iterator[Any]:
    """An item of each source in turn, until it is the turn of one that has ended."""
    while sources:
        for source in sources:
            item = next(source, _END)
            if item is _END:
                return
            yield item


def round_robin_longest(*sources: Iterator[Any]) -> Iterator[Any]:
    """An item of each source in turn, passing over those that have ended, until all have."""
    left = list(sources)
    while left:
        for source in list(left):
            item = next(source, _END)
            if item is _END:
                left.remove(source)
            else:
                yield item


def random_samples(
    sources: Sequence[Iterator[Any]],
    probs: Sequence[float] | None = None,
    longest: bool = False,
    rng: Random | None = None,
) -> Iterator[Any]:
    """Items of the sources by chance, in proportion to `probs` (of any sum; None is all alike).

    Ends where a source is drawn that has ended, or with `longest` when all have, the others taking its share. Without `rng`
    it draws from Python's global `random`, as WebDataset does.
    """
    weights = checked_probs(probs, len(sources))
    left = [(source, weight) for source, weight in zip(sources, weights, strict=True) if weight > 0]
    draw = (rng or random).random
    while left:
        bounds = _bounds([weight for _, weight in left])
        while True:
            index = bisect_right(bounds, draw())
            item = next(left[index][0], _END)
            if item is _END:
                break
            yield item
        if not longest:
            return
        del left[index]


def checked_probs(probs: Sequence[float] | None, members: int) -> list[float]:
    """Raises SpecError unless there is one for each member, none is negative, and one is above 0."""
    if probs is not None and not hasattr(probs, "__iter__"):
        raise SpecError(f"probabilities are numbers, one for each data set, not {probs!r}")
    weights = [1.0] * members if probs is None else [checks.real("each of the probabilities", weight) for weight in probs]
    if len(weights) != members:
        raise SpecError(f"there are {len(weights)} probabilities for {members} data sets")
    if not all(isfinite(weight) and weight >= 0 for weight in weights) or (members and not any(weights)):
        raise SpecError(f"probabilities must not be negative, nor all 0: {weights}")
    return weights


def _bounds(weights: list[float]) -> list[float]:
    """Where in [0, 1) the share of each ends, but for the last: WebDataset's sums, rounding included."""
    import numpy as np  # noqa: PLC0415 - heavy

    bounds: list[float] = (np.array(weights) / np.sum(weights)).cumsum().tolist()
    return bounds[:-1]
