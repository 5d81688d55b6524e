"""Finds the number of connections: `connections="auto"`. A pure state machine, fed with what the engine counted.

It climbs while climbing helps: as long as the reader waits for bytes, it tries half as many connections again and
keeps them if the bytes per second grew by a twentieth; otherwise it steps back and stays there for a while, since
the link may change. It halves when servers ask to slow down. It does nothing while the reader does not wait: then
the consumer or the parser is the limit, and more connections would only fill the buffer sooner.
"""

from __future__ import annotations

from dataclasses import dataclass

START = 8
LOWEST = 1
HIGHEST = 64
INTERVAL = 0.5  # [s]: some ten answers of a bucket with 50 ms to first byte
GAIN = 1.05  # below this a step up has not paid
REST = 20  # intervals to stay after a step that did not pay


@dataclass(slots=True)
class Tuner:
    """`observe` may be called as often as one likes; it decides once in `INTERVAL`."""

    connections: int = START
    _since: float | None = None
    _bytes: int = 0
    _starved: float = 0.0
    _throttled: int = 0
    _before: tuple[int, float] | None = None  # connections and rate before the last step up
    _rest: int = 0

    def observe(self, now: float, received: int, starved: float, throttled: int) -> int:
        """Running totals: bytes received, seconds the reader waited [s], throttling answers. Returns the connections to use."""
        if self._since is None:
            self._since = now
        elif now - self._since >= INTERVAL:
            rate = (received - self._bytes) / (now - self._since)
            waited = (starved - self._starved) / (now - self._since)
            self._decide(rate, waited > 0.1, throttled > self._throttled)
            self._since, self._bytes, self._starved, self._throttled = now, received, starved, throttled
        return self.connections

    def _decide(self, rate: float, waiting: bool, throttled: bool) -> None:
        if throttled:
            self.connections = max(LOWEST, self.connections // 2)
            self._before, self._rest = None, REST
        elif self._before is not None:
            self._judge(rate, waiting)
        elif self._rest > 0:
            self._rest -= 1
        elif waiting and self.connections < HIGHEST:
            self._step_up(rate)

    def _judge(self, rate: float, waiting: bool) -> None:
        """Was the last step up worth it?"""
        assert self._before is not None
        connections, rate_before = self._before
        self._before = None
        if rate >= GAIN * rate_before:
            if waiting and self.connections < HIGHEST:
                self._step_up(rate)
        elif waiting:
            self.connections, self._rest = connections, REST

    def _step_up(self, rate: float) -> None:
        self._before = (self.connections, rate)
        self.connections = min(HIGHEST, self.connections + max(1, self.connections // 2))
