"""Finds the number of connections: `connections="auto"`. A pure state machine, fed with what the engine counted.

It climbs while climbing helps: as long as the reader waits for bytes it tries more connections, and keeps them if the bytes per
second grew by a twentieth; otherwise it steps back and stays there for a while, since the link may change. At the beginning it
doubles, as often as answers allow; once a step has not paid it tries half as many again. It halves when servers ask to slow down.

Where the reader does not wait, the consumer or the parser is the limit, and more connections would only fill the buffer sooner:
then it goes down by a quarter every two seconds, and back at once when the reader waits again.
"""

from __future__ import annotations

from dataclasses import dataclass

from asyncwds.formatting.quantities import MB

START = 16
HIGHEST = 64
INTERVAL = 0.5  # [s]: some ten answers of a bucket with 50 ms to first byte
SHORTEST = 0.1  # [s]
ANSWERS = 2  # first bytes, one after another, that a step is given at the beginning until it is judged
GAIN = 1.05  # below this a step up has not paid
REST = 20  # intervals to stay after a step that did not pay
UNUSED = 4  # intervals without a wait, until there are fewer


@dataclass(slots=True)
class ConnectionTuner:
    """`observe` may be called as often as one likes; it decides once in an interval. There are never fewer than `lowest`."""

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
