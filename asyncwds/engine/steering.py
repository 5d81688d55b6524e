"""Sets how many parts may be in flight, and how far ahead, as the policies in `tuning` say; and tells that, and why."""

from __future__ import annotations

from asyncwds.engine.scheduler import Scheduler
from asyncwds.engine.tuning import START, ConnectionTuner, ReadAhead
from asyncwds.runtime.counters import Counters
from asyncwds.runtime.descriptors import most_connections
from asyncwds.runtime.moving_average import MovingAverage


class Steering:
    """Of a scheduler's budget. `tuned`: the number of connections adapts, and is never lower than at the beginning."""

    def __init__(self, scheduler: Scheduler, counters: Counters, *, tuned: bool) -> None:
        self.first_byte = MovingAverage()  # [s] from a request to its answer
        self._scheduler = scheduler
        self._budget = scheduler.budget
        self._counters = counters
        # More would only fail. But shards in rotation that are streams need one each.
        self._most = max(scheduler.rotation.slots or 1, most_connections())
        self._connections = min(self._budget.connections, self._most)
        self._tuner = ConnectionTuner(max(START, self._connections), self._connections) if tuned else None
        self._ahead = ReadAhead()
        self._explained: tuple[int, str] | None = None
        if not tuned:
            self._explain("that was given")

    def observe(self, now: float, starved: float) -> None:
        """`starved` [s]: how long the reader has waited so far."""
        budget, counters = self._budget, self._counters
        budget.ahead = self._ahead.observe(now, starved, resting=budget.resting)
        budget.connections = self._connections
        if self._tuner is not None:
            tuned = self._tuner.observe(now, counters.bytes, starved, counters.throttled, self.first_byte.value or 0.0)
            budget.connections = min(self._most, tuned)
            if self._explained != (budget.connections, self._tuner.why):
                self._explained = budget.connections, self._tuner.why
                self._explain(self._tuner.why)

    def _explain(self, why: str) -> None:
        connections, budget = self._budget.connections, self._budget.nbytes
        limit = "" if connections < self._most else "; this process has file descriptors for no more"
        self._counters.reasons["connections"] = f"{connections}: {why}{limit}"
        self._counters.reasons["parts"] = self._scheduler.sizes.explain(connections, budget)

    def count(self) -> None:
        """What is in flight now, for statistics."""
        counters, budget = self._counters, self._budget
        counters.connections = budget.connections
        counters.splits = self._scheduler.splits
        counters.in_flight = budget.in_flight
        counters.in_flight_peak = max(counters.in_flight_peak, budget.in_flight)
        counters.buffered = budget.reserved + budget.outside
        counters.buffered_peak = max(counters.buffered_peak, counters.buffered)
