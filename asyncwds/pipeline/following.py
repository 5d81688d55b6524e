"""Follows the items of an iteration: which samples each was made of, noted when it is given, and worked on many at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from asyncwds.pipeline.lineage import SampleTrace, trace_of
from asyncwds.pipeline.reporting import Reporter
from asyncwds.pipeline.run import Run
from asyncwds.runtime.tally import Tally
from asyncwds.settings.ledger import Ledger

AT_ONCE = 4096  # samples


class Deliveries:
    """Counts samples that were delivered, and those that were delivered before in the same pass: a byte each of a pass."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._counts = tally.delivered is not None or not tally.samples  # else nobody knows what was delivered before
        if self._counts:
            tally.delivered, tally.repeated = tally.delivered or 0, tally.repeated or 0
        self._seen: dict[str | None, bytearray] = {}

    def begin_pass(self) -> None:
        self._seen = {}

    def add(self, traces: tuple[SampleTrace, ...]) -> None:
        if not self._counts:
            return
        repeated = 0
        for url, _, origin in traces:
            if origin is None:
                continue
            seen = self._seen.get(url)
            if seen is None:
                seen = self._seen[url] = bytearray()
            ordinal = origin[1]
            if ordinal >= len(seen):
                seen.extend(bytes(2 * ordinal + 64 - len(seen)))
            repeated += seen[ordinal]
            seen[ordinal] = 1
        tally = self._tally
        tally.delivered = (tally.delivered or 0) + len(traces) - repeated
        tally.repeated = (tally.repeated or 0) + repeated


class Follower:
    """Of one iteration."""

    def __init__(self, ledger: Ledger, tally: Tally, reporter: Reporter) -> None:
        self._strict = ledger.strict
        self._reporter = reporter
        self._deliveries = Deliveries(tally)
        self._pending: list[tuple[SampleTrace, ...]] = []
        self._samples = 0  # in there
        self._given = 0  # items that were worked on
        self._untaken: deque[tuple[SampleTrace, ...]] = deque()  # of these, those that nobody has taken yet
        self._taken: Callable[[], int] | None = None
        tally.catch_up, tally.ahead = self.work, self._ahead

    def following(self, items: Iterator[Any], run: Run) -> Iterator[Any]:
        """The items, each noted before it is given."""
        number = run.number
        for item in items:
            traces = trace_of(item, run)  # type: ignore[arg-type] # a run tells the lineage as a stream does
            if run.number != number:
                self.work()
                self._deliveries.begin_pass()
                number = run.number
            self._pending.append(traces)
            self._samples += len(traces)
            if self._samples >= AT_ONCE:
                self.work()
            yield item

    def follow_taken(self, count: Callable[[], int]) -> None:
        """The iteration is ahead of whoever takes its items."""
        self._taken = count

    def work(self) -> None:
        """On the items that wait for it."""
        pending, self._pending, self._samples = self._pending, [], 0
        for traces in pending:
            self._deliveries.add(traces)
        self._given += len(pending)
        if self._taken is not None:
            self._untaken += pending

    def _ahead(self) -> int:
        if self._taken is None:
            return 0
        while self._untaken and self._given - len(self._untaken) < self._taken():
            self._untaken.popleft()
        return sum(map(len, self._untaken))

    def end(self) -> None:
        """Raises IncompleteEpochError at the end of an epoch that does not add up, where that is asked for."""
        if self._strict:
            self._reporter.report().check()
