"""What an iteration counted. `Counters` is written by the engine, `Stats` is what `ds.stats()` returns.

Counters are plain numbers written by one thread and read by any: a reader may see one number a moment older
than another, never a torn one.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import asdict, dataclass, field
from statistics import median

from asyncwds.formatting.quantities import MB, plural
from asyncwds.formatting.reprs import html_table


def _recent() -> deque[float]:
    return deque(maxlen=512)


@dataclass(slots=True)
class Counters:
    """Running counts of one iteration; times in [s] on the monotonic clock, sizes in [bytes]."""

    started: float = field(default_factory=time.monotonic)
    ended: float | None = None
    samples: int = 0
    bytes: int = 0  # received from sources
    cached: int = 0  # of these bytes, those that a cache had
    cache_failures: int = 0  # the cache could not be used, or had something damaged
    requests: int = 0
    retries: int = 0
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
    starved: float = 0.0  # the engine had nothing to parse
    parsed: float = 0.0  # spent in decompression, parsing and grouping
    shards: int = 0  # read to their end
    shards_failed: int = 0
    samples_failed: int = 0
    repeated_keys: int = 0  # samples whose key had been in their shard before, ahead of another one
    first_failure: str | None = None  # what a handler was asked about before there was any sample
    first_bytes: deque[float] = field(default_factory=_recent)  # from request to first byte, the latest ones

    def affords_another(self) -> bool:
        """Whether one more part may be started anew: a few, and then 5 % of all requests."""
        return self.restarts < 4 + self.requests * 0.05

    def snapshot(self) -> Stats:
        until = self.ended if self.ended is not None else time.monotonic()
        return Stats(
            seconds=until - self.started,
            samples=self.samples,
            bytes=self.bytes,
            cached=self.cached,
            cache_failures=self.cache_failures,
            requests=self.requests,
            retries=self.retries,
            hedges=self.hedges,
            splits=self.splits,
            restarts=self.restarts,
            throttled=self.throttled,
            lookups=self.lookups,
            held_back=self.held_back,
            waiting_for=self.waiting_for,
            waiting=0.0 if self.waiting_for is None else until - self.waiting_since,
            in_flight=self.in_flight,
            in_flight_peak=self.in_flight_peak,
            connections=self.connections,
            buffered=self.buffered,
            buffered_peak=self.buffered_peak,
            waited=self.waited,
            starved=self.starved,
            parsed=self.parsed,
            shards=self.shards,
            shards_failed=self.shards_failed,
            samples_failed=self.samples_failed,
            repeated_keys=self.repeated_keys,
            first_bytes=tuple(self.first_bytes),
        )


@dataclass(frozen=True, slots=True, repr=False)
class Stats:
    """What one iteration did so far. Times in [s], sizes in [bytes]; fields as in `Counters`."""

    seconds: float = 0.0
    samples: int = 0
    bytes: int = 0
    cached: int = 0
    cache_failures: int = 0
    requests: int = 0
    retries: int = 0
    hedges: int = 0
    splits: int = 0
    restarts: int = 0
    throttled: int = 0
    lookups: int = 0
    held_back: float = 0.0
    waiting_for: str | None = None
    waiting: float = 0.0
    in_flight: int = 0
    in_flight_peak: int = 0
    connections: int = 0
    buffered: int = 0
    buffered_peak: int = 0
    waited: float = 0.0
    starved: float = 0.0
    parsed: float = 0.0
    shards: int = 0
    shards_failed: int = 0
    samples_failed: int = 0
    repeated_keys: int = 0
    first_bytes: tuple[float, ...] = ()

    @property
    def bytes_per_second(self) -> float:
        return self.bytes / self.seconds if self.seconds > 0 else 0.0

    @property
    def samples_per_second(self) -> float:
        return self.samples / self.seconds if self.seconds > 0 else 0.0

    @property
    def first_byte(self) -> float | None:
        """Median time to the first byte [s] of the latest requests."""
        return median(self.first_bytes) if self.first_bytes else None

    @property
    def limit(self) -> str:
        """Which stage limits the stream: "nothing yet", "consumer", "parser" or "network".

        The consumer is the limit unless it waited a fifth of the time; then it is the parser if it was busy for longer
        than it waited for bytes, and otherwise the sources.
        """
        if self.samples == 0 or self.seconds <= 0:
            return "nothing yet"
        if self.waited < 0.2 * self.seconds:
            return "consumer"
        return "parser" if self.parsed > self.starved else "network"

    def __repr__(self) -> str:
        counts = f"samples={self.samples}, bytes={self.bytes}, requests={self.requests}, retries={self.retries}"
        return f"<Stats {counts}, seconds={self.seconds:.3g}: {self.summary()}>"

    def _repr_html_(self) -> str:
        return html_table(asdict(self))

    def summary(self) -> str:
        """One line in plain words: what limits the stream, and by how much; or what it waits for."""
        if self.waiting_for is not None:
            return f"{self.waiting_for} has not answered for {self.waiting:.0f} s"
        rate = self.bytes_per_second / MB
        waited = f"the consumer waited {self.waited:.1f} of {self.seconds:.1f} s"
        if self.limit == "network":
            lanes = max(1, self.in_flight_peak)
            return f"network-bound: {plural(lanes, 'connection')} x {rate / lanes:.0f} MB/s, {waited}"
        if self.limit == "parser":
            return f"parser-bound: {rate:.0f} MB/s is what one core unpacks, {waited}"
        if self.limit == "consumer":
            return f"consumer-bound: it takes {rate:.0f} MB/s, {waited}"
        return "nothing yet"
