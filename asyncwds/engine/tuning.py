"""What adapts to a link and its reader: how many connections there are, how large parts, how far ahead is read.

Three decisions, each a pure state machine, or a function, of what the engine counted; `Steering` sets what they say, and tells why.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from asyncwds.formatting.texts import MB, size
from asyncwds.runtime.counters import Counters, MovingAverage
from asyncwds.runtime.process import most_connections
from asyncwds.runtime.units import KiB

if TYPE_CHECKING:
    from asyncwds.engine.scheduler import Scheduler

# Connections.
START = 16
HIGHEST = 64
INTERVAL = 0.5  # [s]: some ten answers of a bucket with 50 ms to first byte
SHORTEST = 0.1  # [s]
ANSWERS = 2  # first bytes, one after another, that a step is given at the beginning until it is judged
GAIN = 1.05  # below this a step up has not paid
REST = 20  # intervals to stay after a step that did not pay
UNUSED = 4  # intervals without a wait, until there are fewer

# Reading ahead.
LEAST = 2.0  # parts: one that is being read, and one whose turn comes while its successor starts
FIRST = 8.0  # parts: connections that begin together end together, and the reader takes a while for what they have brought
PER_SECOND_WAITED = 100.0  # parts: a wait of 50 ms, a bucket's first byte, gives five more
PER_SECOND_SERVED = 1.0  # parts fewer
LONGEST_REST = 1.0  # [s] of rest that count: enough to fill any buffer

# Sizes of parts.
GROWTH = 6
# Of the budget, at most. With 0.85, 64 connections of 100 MB/s with 200 ms to first byte reach 0.89 of the best setting, with this
# 0.93; with 1.0 links without delay lose 1 %.
IN_FLIGHT = 0.92
STEP = 256 * KiB


@dataclass(slots=True)
class ConnectionTuner:
    """Finds the number of connections: `connections="auto"`. There are never fewer than `lowest`.

    It climbs while climbing helps: as long as the reader waits for bytes it tries more connections, and keeps them if the bytes per
    second grew by a twentieth; otherwise it steps back and stays there for a while, since the link may change. At the beginning it
    doubles, as often as answers allow; once a step has not paid it tries half as many again. It halves when servers ask to slow
    down.

    Where the reader does not wait, the consumer or the parser is the limit, and more connections would only fill the buffer sooner:
    then it goes down by a quarter every two seconds, and back at once when the reader waits again.

    `observe` may be called as often as one likes; it decides once in an interval.
    """

    connections: int = START
    lowest: int = 1
    why: str = "that is what it begins with"
    _since: float | None = None
    _bytes: int = 0
    _starved: float = 0.0
    _throttled: int = 0
    _climbing: bool = True
    _before: tuple[int, float] | None = None  # connections and rate before the last step up
    _rest: int = 0
    _unused: int = 0
    _needed: int = 0  # connections there were when the reader last waited

    def observe(self, now: float, received: int, starved: float, throttled: int, first_byte: float) -> int:
        """Running totals: bytes received, seconds the reader waited [s], throttling answers; and the time to first byte [s].

        Returns the connections to use.
        """
        interval = max(SHORTEST, ANSWERS * first_byte) if self._climbing else INTERVAL
        if self._since is None:
            self._since = now
        elif now - self._since >= interval:
            rate = (received - self._bytes) / (now - self._since)
            waited = (starved - self._starved) / (now - self._since)
            self._decide(rate, waited, throttled > self._throttled)
            self._since, self._bytes, self._starved, self._throttled = now, received, starved, throttled
        return self.connections

    def _decide(self, rate: float, waited: float, throttled: bool) -> None:
        self._unused = 0 if waited > 0.01 else self._unused + 1
        if throttled:
            self.connections = max(self.lowest, self.connections // 2)
            self._before, self._rest, self._climbing, self._needed = None, REST, False, 0
            self.why = "the server asked for fewer requests"
        elif self._before is not None:
            self._judge(rate, waited > 0.1)
        elif waited > 0.1 and self.connections < self._needed:
            self.connections = self._needed
            self.why = "the reader waits again, and did not with so many"
        elif self._unused >= UNUSED:
            self._step_down()
        elif self._rest > 0:
            self._rest -= 1
        elif waited > 0.1 and self.connections < HIGHEST:
            self._step_up(rate)

    def _judge(self, rate: float, waiting: bool) -> None:
        """Was the last step up worth it?"""
        assert self._before is not None
        connections, rate_before = self._before
        self._before = None
        if rate >= GAIN * rate_before:
            self.why = f"they bring {_megabytes(rate)}, {connections} brought {_megabytes(rate_before)}"
            if waiting and self.connections < HIGHEST:
                self._step_up(rate)
        elif waiting:
            self.why = (
                f"{self.connections} brought {_megabytes(rate)} and these {_megabytes(rate_before)}; "
                f"more are kept where they bring {100 * (GAIN - 1):.0f} % more"
            )
            self.connections, self._rest, self._climbing = connections, REST, False

    def _step_up(self, rate: float) -> None:
        self._before = (self.connections, rate)
        self.why = f"the reader waits: do they bring more than the {_megabytes(rate)} of {self.connections}?"
        more = self.connections if self._climbing else max(1, self.connections // 2)
        self.connections = min(HIGHEST, self.connections + more)

    def _step_down(self) -> None:
        self._unused = 0
        self._needed = max(self._needed, self.connections)
        self.connections = max(self.lowest, self.connections * 3 // 4)
        self.why = "the reader does not wait: consumer or parser are slower"


def _megabytes(rate: float) -> str:
    return f"{rate / MB:.0f} MB/s"


@dataclass(slots=True)
class ReadAhead:
    """How many parts may lie complete beside those in flight: more, the longer the reader waits for bytes that could be there.

    They could be if connections have rested for want of something to do. Where all are busy all the time the link, or the
    processor, gives no more, however far ahead it is asked; where they rested while the reader was slow, or while a part
    that was slow kept those behind it back, reading further ahead would have helped.

    The budget bounds it in any case. But a buffer that is full although nobody waits costs CPU time: what is written 200 MB
    before it is read is in no cache any more. Measured over loopback, 8 connections: 1.2 CPU-s/GB with 28 parts of 8 MiB,
    1.0 with 12.
    """

    _parts: float = FIRST
    _now: float | None = None
    _starved: float = 0.0
    _rested: float = 0.0  # [s] not yet made up for

    def observe(self, now: float, starved: float, *, resting: bool) -> int:
        """The time and the running total of seconds that the reader waited [s]; whether connections rested since the last call.

        Returns the number of parts.
        """
        if self._now is not None:
            passed, waited = now - self._now, starved - self._starved
            if resting:
                self._rested = min(LONGEST_REST, self._rested + passed)
            avoidable = min(waited, self._rested)
            self._rested -= avoidable
            served = max(0.0, passed - waited)
            self._parts = max(LEAST, self._parts + PER_SECOND_WAITED * avoidable - PER_SECOND_SERVED * served)
        self._now, self._starved = now, starved
        return round(self._parts)


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
