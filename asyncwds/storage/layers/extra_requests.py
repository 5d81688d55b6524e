"""How many requests there may be beside those that are needed: where an answer is late, and where a part has stalled."""

from __future__ import annotations

from asyncwds.runtime.stats import Counters

FEW = 4  # a store that is slow at first must not get twice as many


def affords_extra(counters: Counters, asked: int, share: float) -> bool:
    """Whether one more may be made: a few, and then a `share` of all that were `asked` for. All kinds count together."""
    return counters.hedges + counters.restarts < FEW + asked * share
