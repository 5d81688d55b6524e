"""What an iteration counted: `Stats`, which `ds.stats()` returns, and how those of several are added up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from statistics import median

from asyncwds.formatting.texts import MB, html_table, plural
from asyncwds.runtime.bottleneck import (
    CONSUMER,
    DISK,
    NETWORK,
    OF_THE_ENGINE,
    PARSER,
    SHARDS,
    SOURCE,
    Times,
    added,
    in_order,
    largest,
    resolved,
    shares,
)

SMALL = 10_000  # [bytes] a sample: below, it is samples that cost, and not bytes


@dataclass(frozen=True, slots=True, repr=False)
class Stats:
    """What one iteration did so far. Times in [s], sizes in [bytes]; fields as in `Counters`.

    `times` says where the consumer's time went, and its values add up to `seconds`: waiting for the "network", for the "disk"
    (files of this machine, the cache's among them), for a "source" (commands, functions, standard input), for "shards" (to know
    which is next) or for the "parser"; in each stage, by its name; and with the "consumer". `parallel` has the number of threads or
    coroutines, of each stage with `workers=`, also where it is "auto". `reasons` says in words why there are so many "connections",
    why "parts" are that large, and why these stages have so many workers. Of `workers` of a DataLoader all numbers are sums, but
    `seconds`, and reasons are those of one.
    """

    seconds: float = 0.0
    workers: int = 0
    times: Times = field(default_factory=dict)
    parallel: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    samples: int = 0
    bytes: int = 0
    local: int = 0
    piped: int = 0
    cached: int = 0
    cache_failures: int = 0
    requests: int = 0
    retries: int = 0
    retried: int = 0
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
        """What most of the time went to, as named in `times`; "nothing yet" before the first sample."""
        stages = self.times.keys() - {*OF_THE_ENGINE, CONSUMER}
        return largest(self.times) or "nothing yet" if self.samples or stages else "nothing yet"

    def __repr__(self) -> str:
        counts = f"samples={self.samples}, bytes={self.bytes}, requests={self.requests}, retries={self.retries}"
        reasons = "".join([f"; {name} {reason}" for name, reason in self.reasons.items()])
        return f"<Stats {counts}, seconds={self.seconds:.3g}: {self.summary()}{reasons}>"

    def _repr_html_(self) -> str:
        return html_table(asdict(self))

    def summary(self) -> str:
        """One line in plain words: what limits the stream, and by how much; or what it waits for."""
        if self.waiting_for is not None:
            return f"{self.waiting_for} has not answered for {self.waiting:.0f} s"
        limit = self.limit
        if limit == "nothing yet":
            return limit
        within = f"{self.seconds:.1f} s" + (f" in {plural(self.workers, 'worker')}" if self.workers else "")
        parallel = "".join([f"; {name} x {number}" for name, number in self.parallel.items()])
        return f"{limit}-bound: {self._rate(limit)}; of {within} {shares(self.times)}{parallel}"

    def _rate(self, limit: str) -> str:
        lanes = max(1, self.in_flight_peak)
        if limit == NETWORK:
            return f"{plural(lanes, 'connection')} x {self.bytes_per_second / lanes / MB:.0f} MB/s"
        if limit in (DISK, SOURCE):
            return f"{self.bytes_per_second / MB:.0f} MB/s"
        if limit == SHARDS:
            return f"{self.shards / self.seconds:.1f} shards/s"
        small = self.bytes < SMALL * self.samples
        if limit == PARSER:
            seconds = max(self.parsed, self.times[PARSER])
            rate = f"{self.samples / seconds:.0f} samples/s" if small else f"{self.bytes / seconds / MB:.0f} MB/s"
            return f"{rate} is what one core unpacks"
        if limit == CONSUMER and self.bytes and not small:
            return f"it takes {self.bytes_per_second / MB:.0f} MB/s"
        return f"{self.samples_per_second:.0f} samples/s" if self.samples else f"{self.times[limit]:.1f} s"


COUNTS = {each.name for each in fields(Stats)} - {"seconds", "workers", "times", "waiting", "first_bytes", "parallel", "reasons"}
"""What `Counters` has too."""


def summed(many: Sequence[Stats], *, seconds: float, workers: int) -> Stats:
    """What several iterations did, within so many seconds."""
    sums = {name: sum(getattr(stats, name) for stats in many) for name in COUNTS - {"waiting_for"}}
    waiting = max(many, key=lambda stats: stats.waiting, default=Stats())
    return Stats(
        **sums,
        seconds=seconds,
        workers=workers,
        times=in_order(added(*[stats.times for stats in many])),
        parallel=_totals([stats.parallel for stats in many]),
        reasons={name: reason for stats in reversed(many) for name, reason in stats.reasons.items()},
        first_bytes=tuple([seconds for stats in many for seconds in stats.first_bytes]),
        waiting_for=waiting.waiting_for,
        waiting=waiting.waiting,
    )


def _totals(many: Sequence[dict[str, int]]) -> dict[str, int]:
    names = dict.fromkeys([name for counts in many for name in counts])
    return {name: sum(counts.get(name, 0) for counts in many) for name in names}


def mixed(members: Sequence[Stats]) -> Stats:
    """What the members of a mix did: each took its time while the others were at rest."""
    if not members:
        return Stats()
    seconds, workers = max(stats.seconds for stats in members), max(stats.workers for stats in members)
    together = summed(members, seconds=seconds, workers=workers)
    inside = {name: took for name, took in together.times.items() if name != CONSUMER}
    outside = max(sum(stats.times.values()) for stats in members) - sum(inside.values())
    return replace(together, times=in_order({**inside, CONSUMER: max(0.0, outside)}))


def with_head(own: Stats, head: str, inner: Stats) -> Stats:
    """What a pipeline did, with what another one did that it begins with."""
    if not own.seconds:
        return inner
    in_workers = inner.workers and not own.workers
    times = resolved(own.times, head, inner.times, starting=max(0.0, own.seconds - inner.seconds) if in_workers else None)
    return replace(summed([own, inner], seconds=own.seconds, workers=max(own.workers, inner.workers)), times=times)
