"""What an iteration counts while it runs: `Counters`, written by the engine and the pipeline.

They are plain numbers written by one thread and read by any: a reader may see one number a moment older than another, never a
torn one.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

from asyncwds.runtime.bottleneck import CONSUMER, DISK, NETWORK, PARSER, SHARDS, SOURCE, Times, in_order, largest, own_times
from asyncwds.runtime.stats import COUNTS, Stats
from asyncwds.runtime.tally import Tally

if TYPE_CHECKING:
    from asyncwds.runtime.recorder import Recorder


class Totals(NamedTuple):
    """The engine's totals at one moment: [s] spent unpacking and without a shard to read, and [bytes] that came, by where from."""

    parsed: float
    undecided: float
    bytes: int
    local: int
    piped: int


def split_wait(seconds: float, before: Totals, after: Totals) -> Times:
    """What the consumer waited for in so many seconds: the parser while that was busy, the next shard while that was not
    known, and otherwise whatever brought bytes.

    Where nothing came meanwhile it is what has brought bytes so far; a fetcher that counts none, a user's, is a source.
    """
    parser = min(seconds, after.parsed - before.parsed)
    shards = min(seconds - parser, after.undecided - before.undecided)
    fetching = seconds - parser - shards
    came = _by_origin(before, after)
    if not any(came.values()):
        came = _by_origin(Totals(0.0, 0.0, 0, 0, 0), after)
    total = sum(came.values())
    if not total:
        came, total = {SOURCE: 1}, 1
    return {PARSER: parser, SHARDS: shards} | {origin: fetching * nbytes / total for origin, nbytes in came.items()}


def _by_origin(before: Totals, after: Totals) -> dict[str, int]:
    nbytes, local, piped = after.bytes - before.bytes, after.local - before.local, after.piped - before.piped
    return {NETWORK: max(0, nbytes - local - piped), DISK: local, SOURCE: piped}


def _with(waits: Times, more: Times) -> Times:
    """A new mapping: others may be reading the old one."""
    return waits | {name: waits.get(name, 0.0) + seconds for name, seconds in more.items()}


def _recent() -> deque[float]:
    return deque(maxlen=512)


@dataclass(slots=True)
class StageTime:
    """What a stage and those before it took together [s], without waiting for the engine."""

    name: str
    inclusive: float = 0.0


@dataclass(slots=True)
class Counters:
    """Running counts of one iteration; times in [s] on the monotonic clock, sizes in [bytes]."""

    trace: Recorder | None = None  # who is told what happens and when, where somebody records that
    started: float = field(default_factory=time.monotonic)
    ended: float | None = None
    samples: int = 0
    bytes: int = 0  # received from sources
    local: int = 0  # of these bytes, those from files and memory of this machine, the cache's among them
    piped: int = 0  # of these bytes, those from commands, functions and standard input
    cached: int = 0  # of these bytes, those that a cache had
    cache_failures: int = 0  # the cache could not be used, or had something damaged
    requests: int = 0
    retries: int = 0
    retried: int = 0  # bytes that came by requests which were made again
    hedges: int = 0
    splits: int = 0  # slow parts whose second half went to another connection
    restarts: int = 0  # stalled parts whose rest went to another connection
    throttled: int = 0  # answers 429, 503 and the like
    lookups: int = 0  # addresses of servers that were dropped after a failure, so that the next connection asks for them again
    held_back: float = 0.0  # that requests waited for the limits in `Http`, all together
    waiting_for: str | None = None  # a host that does not answer
    waiting_since: float = 0.0  # when it was found that it does not
    in_flight: int = 0  # parts being fetched now
    in_flight_peak: int = 0
    connections: int = 0  # parts that may be in flight now
    given: int = 0  # [bytes] of samples given out by the engine
    taken: int = 0  # [bytes] of these that the consumer is done with
    buffered: int = 0  # fetched or reserved, or in samples that the consumer is not done with
    buffered_peak: int = 0
    waited: float = 0.0  # the consumer found nothing ready
    waits: Times = field(default_factory=dict)  # the same, by what it waited for
    waiting_now: tuple[float, Totals] | None = None  # since when it waits, and what there was then
    parallel: dict[str, int] = field(default_factory=dict)  # workers that a stage has now, by its name
    reasons: dict[str, str] = field(default_factory=dict)  # why there are so many connections and workers, and parts that large
    stages: dict[int, StageTime] = field(default_factory=dict)  # by their place in the pipeline
    starved: float = 0.0  # the engine had nothing to parse
    undecided: float = 0.0  # the engine did not know yet which shard is next
    parsed: float = 0.0  # spent in decompression, parsing and grouping
    shards: int = 0  # read to their end
    shards_failed: int = 0
    samples_failed: int = 0
    repeated_keys: int = 0  # samples whose key had been in their shard before, ahead of another one
    first_failure: str | None = None  # what a handler was asked about before there was any sample
    tally: Tally = field(default_factory=Tally)  # what became of samples
    first_bytes: deque[float] = field(default_factory=_recent)  # from request to first byte, the latest ones

    def progress(self) -> Totals:
        return Totals(self.parsed, self.undecided, self.bytes, self.local, self.piped)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Around what the consumer waits for."""
        self.waiting_now = began, before = perf_counter(), self.progress()
        try:
            yield
        finally:
            seconds = perf_counter() - began
            self.waiting_now = None
            self.waited += seconds
            waits = split_wait(seconds, before, self.progress())
            self.waits = _with(self.waits, waits)
            if self.trace is not None:
                self.trace.span("consumer", f"wait for {largest(waits)}", began, began + seconds)

    def end(self) -> None:
        """Stops the clock, the first time that it is called."""
        if self.ended is None:
            self.ended = time.monotonic()

    def _times(self, seconds: float) -> Times:
        """Where so many seconds went: what is no waiting and in no stage is the consumer's."""
        waits, now = self.waits, self.waiting_now
        if now is not None:  # it may be long
            waits = _with(waits, split_wait(perf_counter() - now[0], now[1], self.progress()))
        stages = own_times((stage.name, stage.inclusive) for _, stage in sorted(self.stages.items()))
        rest = seconds - sum(waits.values()) - sum(stages.values())
        return in_order({**waits, **stages, CONSUMER: max(0.0, rest)})

    def snapshot(self) -> Stats:
        until = self.ended if self.ended is not None else time.monotonic()
        seconds = until - self.started
        counts = {name: getattr(self, name) for name in COUNTS}
        waiting = 0.0 if self.waiting_for is None else until - self.waiting_since
        times = self._times(seconds)
        return Stats(
            **counts,
            seconds=seconds,
            waiting=waiting,
            times=times,
            parallel=dict(self.parallel),
            reasons=dict(self.reasons),
            first_bytes=tuple(self.first_bytes),
        )


@dataclass(slots=True)
class MovingAverage:
    """Of values that come one after another, in which the latest has the weight `weight`. `value` is None before the first."""

    weight: float = 0.2
    value: float | None = None

    def add(self, latest: float) -> None:
        self.value = latest if self.value is None else self.value + self.weight * (latest - self.value)
