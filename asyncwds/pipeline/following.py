"""Follows the items of an iteration: which samples each was made of, noted when it is given, and worked on many at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from operator import itemgetter
from typing import Any

from asyncwds.engine.positions import HeldShard
from asyncwds.pipeline.ledger_file import LedgerFile, LedgerShard, Lines, Traces, path_of
from asyncwds.pipeline.lineage import trace_of
from asyncwds.pipeline.progress import Progress
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

    def add(self, traces: Traces) -> None:
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

    def __init__(self, ledger: Ledger, tally: Tally, reporter: Reporter, seed: int) -> None:
        self._ledger = ledger
        self._reporter = reporter
        self._seed = seed
        self._deliveries = Deliveries(tally)
        self._pending: list[Traces] = []
        self._samples = 0  # in there
        self._number = 0  # of the pass that they are of
        self._counted = 0  # items
        self._untaken: deque[Traces] = deque()  # of these, those that nobody has taken yet
        self._taken: Callable[[], int] | None = None
        self._file: LedgerFile | None = None
        self._unwritten: deque[tuple[int, Traces]] = deque()  # with the number of their pass
        self._known: Callable[[], Mapping[int, HeldShard]] = dict
        tally.catch_up, tally.ahead = self.count, self._ahead

    def following(self, items: Iterator[Any], run: Run, progress: Progress) -> Iterator[Any]:
        """The items, each noted before it is given. At the end, whatever that is, what is left is written."""
        if self._ledger.path is not None:
            lines = Lines(progress.epoch, self._seed, run.place)
            self._file = LedgerFile(path_of(self._ledger.path, run.place), lines, progress.items)
        self._known, self._number = run.known_shards, run.number
        try:
            for item in items:
                traces = trace_of(item, run)  # type: ignore[arg-type] # a run tells the lineage as a stream does
                if run.number != self._number:
                    self._begin_pass(run.number)
                self._pending.append(traces)
                self._samples += len(traces)
                if self._samples >= AT_ONCE:
                    self.flush()
                yield item
        finally:
            self.flush()
            known = self._known()
            self._known = lambda: known  # the run ends with its iterator

    def _begin_pass(self, number: int) -> None:
        self.count()
        self._deliveries.begin_pass()
        self._number = number

    def follow_taken(self, count: Callable[[], int]) -> None:
        """The iteration is ahead of whoever takes its items."""
        self._taken = count

    def count(self) -> None:
        """The items that wait for it."""
        pending, self._pending, self._samples = self._pending, [], 0
        for traces in pending:
            self._deliveries.add(traces)
        self._counted += len(pending)
        if self._taken is not None:
            self._untaken += pending
        if self._file is not None:
            self._unwritten += [(self._number, traces) for traces in pending]

    def _ahead(self) -> int:
        if self._taken is None:
            return 0
        while self._untaken and self._counted - len(self._untaken) < self._taken():
            self._untaken.popleft()
        return sum(map(len, self._untaken))

    def flush(self) -> None:
        """Counts and writes what was taken."""
        self.count()
        file = self._file
        if file is None or not self._unwritten:
            return
        self._ahead()
        items = len(self._unwritten) - (len(self._untaken) if self._taken is not None else 0)
        shards: dict[str | None, LedgerShard] = {
            shard.url: LedgerShard(index, shard.url, shard.mark, shard.seekable) for index, shard in self._known().items()
        }
        taken = [self._unwritten.popleft() for _ in range(items)]
        for number, group in groupby(taken, key=itemgetter(0)):
            file.append(number, [traces for _, traces in group], shards)

    def end(self) -> None:
        """Raises IncompleteEpochError at the end of an epoch that does not add up, where that is asked for."""
        if self._ledger.strict:
            self._reporter.report(all_taken=True).check()
