"""Parts in a trace, and how much of what there is meanwhile."""

from __future__ import annotations

from time import perf_counter

from asyncwds.engine.budget import Budget
from asyncwds.engine.parts import Part
from asyncwds.errors import redact
from asyncwds.runtime.counters import Counters
from asyncwds.runtime.recorder import READER, Recorder, Span

MEASURED_EVERY = 0.005  # [s]


class PartTrace:
    """Told by `Downloader` what becomes of parts."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._spans: dict[Part, Span] = {}
        self._measured = 0.0

    def start(self, part: Part) -> None:
        shard = part.run.shard
        name = f"shard {shard.index} from {part.start}"
        self._spans[part] = self._recorder.begin("part", name, url=redact(shard.url), start=part.start, stop=part.stop)

    def answer(self, part: Part) -> None:
        span = self._spans[part]
        span.inner("first byte", span.began)

    def help(self, part: Part, action: str) -> None:
        """A late part."""
        self._recorder.mark(READER, action, url=redact(part.run.shard.url), start=part.start, received=part.received)

    def finish(self, part: Part) -> None:
        span = self._spans.pop(part)
        span.args |= {"received": part.received, "state": part.state.name.lower()}
        span.end()

    def measure(self, counters: Counters, budget: Budget) -> None:
        if (now := perf_counter()) - self._measured < MEASURED_EVERY:
            return
        self._measured = now
        record = self._recorder.measure
        record("connections", allowed=budget.connections, in_flight=budget.in_flight, resting=int(budget.resting))
        record("bytes", reserved=budget.reserved, allowed=budget.allowed, samples=counters.given - counters.taken)
