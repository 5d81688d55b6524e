"""How a bucket behaves over a long day: faults by chance, the same for the same seed."""

from __future__ import annotations

import math
import random
import re
from dataclasses import dataclass, field

from asyncwds.testing.faults import Fault
from asyncwds.testing.replies import Request

_RANGE = re.compile(r"bytes=(\d+)-(\d+)$")
_P99 = 2.326  # standard deviations


@dataclass(slots=True)
class FaultProfile:
    """Shares of requests that meet a fault, and how late first bytes are.

    cut, reset, stall   the body ends, breaks or stands still after a random byte
    busy                503 with Retry-After: 1
    median, p99         time to the first byte [s], lognormal; without `p99` it is always `median`
    slow                name of an object → rate [bytes/s] of its bodies
    """

    cut: float = 0.0
    reset: float = 0.0
    stall: float = 0.0
    busy: float = 0.0
    median: float = 0.0
    p99: float | None = None
    slow: dict[str, float] = field(default_factory=dict)
    seed: int = 0
    _random: random.Random = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - reproducible, not secret

    def fault(self, request: Request) -> Fault:
        """What the next request meets."""
        chance, place, delay = self._random.random(), self._random.random(), self._delay()
        drip = self.slow.get(request.name)
        at = int(place * _length(request))
        for share, fault in (
            (self.cut, {"cut_at": at}),
            (self.reset, {"reset_at": at}),
            (self.stall, {"stall_at": at}),
            (self.busy, {"status": 503, "retry_after": 1.0}),
        ):
            if chance < share:
                return Fault(delay=delay, drip=drip, **fault)
            chance -= share
        return Fault(delay=delay, drip=drip)

    def _delay(self) -> float:
        if self.p99 is None:
            return self.median
        return self._random.lognormvariate(math.log(self.median), math.log(self.p99 / self.median) / _P99)


def _length(request: Request) -> int:
    asked = _RANGE.match(request.headers.get("range", ""))
    return int(asked[2]) + 1 - int(asked[1]) if asked else 1 << 20


# 1 % resets, 0.5 % stalls, 0.5 % refusals, first bytes after 20 ms at the median and 2 s for one in a hundred.
BAD_DAY = {"reset": 0.01, "stall": 0.005, "busy": 0.005, "median": 0.02, "p99": 2.0}
GOOD_DAY = {"median": 0.02}
