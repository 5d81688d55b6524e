"""Follows the items of an iteration: which samples each was made of, noted when it is given, and worked on many at a time; and
which of these were delivered before in the same pass: a byte each of a pass.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from itertools import count, groupby
from operator import itemgetter
from typing import Any

from asyncwds.engine.positions import HeldShard
from asyncwds.pipeline.description import Progress
from asyncwds.pipeline.ledger_file import LedgerFile, Lines, path_of
from asyncwds.pipeline.lineage import trace_of
from asyncwds.pipeline.reporting import Reporter
from asyncwds.pipeline.run import Run
from asyncwds.pipeline.sample_columns import SampleColumns, SampleNotes, joined_columns
from asyncwds.runtime.tally import Tally
from asyncwds.samples import Sample
from asyncwds.settings.reading import Ledger

AT_ONCE = 4096  # samples


class Follower:
    """Of one iteration."""

    def __init__(self, ledger: Ledger, tally: Tally, reporter: Reporter, seed: int) -> None:
        self._ledger = ledger
        self._reporter = reporter
        self._seed = seed
        self._deliveries = Deliveries(tally)
        self._notes = SampleNotes(keys=ledger.path is not None)  # of items that wait for being counted
        self._number = 0  # of the pass that they are of
        self._counted = 0  # items
        self._untaken: deque[int] = deque()  # of these, the samples of each that nobody has taken yet
        self._taken: Callable[[], int] | None = None
        self._file: LedgerFile | None = None
        self._unwritten: deque[tuple[int, SampleColumns]] = deque()  # with the number of their pass
        self._known: Callable[[], Mapping[int, HeldShard]] = dict
        tally.catch_up, tally.ahead = self.count, self._ahead

    def following(self, items: Iterator[Any], run: Run, progress: Progress) -> Iterator[Any]:
        """The items, each noted before it is given. At the end, whatever that is, what is left is written."""
        if self._ledger.path is not None:
            lines = Lines(progress.epoch, self._seed, run.place)
            self._file = LedgerFile(path_of(self._ledger.path, run.place), lines, progress.items)
        self._known, self._number = run.known_shards, run.number
        notes, left = self._notes, AT_ONCE
        try:
            for item in items:
                if run.number != self._number:
                    self._begin_pass(run.number)
                if type(item) is Sample and notes.add_sample(item):
                    left -= 1
                else:
                    traces = trace_of(item, run)  # type: ignore[arg-type] # a run tells the lineage as a stream does
                    notes.add(traces)
                    left -= len(traces)
                if left <= 0:
                    self.flush()
                    left = AT_ONCE
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
        columns = self._notes.take()
        if not columns.sizes:
            return
        self._deliveries.add(columns)
        self._counted += len(columns.sizes)
        if self._taken is not None:
            self._untaken += columns.sizes
        if self._file is not None:
            self._unwritten.append((self._number, columns))

    def _ahead(self) -> int:
        if self._taken is None:
            return 0
        while self._untaken and self._counted - len(self._untaken) < self._taken():
            self._untaken.popleft()
        return sum(self._untaken)

    def flush(self) -> None:
        """Counts and writes what was taken."""
        self.count()
        file = self._file
        if file is None or not self._unwritten:
            return
        untaken = 0
        if self._taken is not None:
            self._ahead()
            untaken = len(self._untaken)
        known = self._known()
        for number, parts in groupby(self._take(untaken), key=itemgetter(0)):
            file.append(number, joined_columns([columns for _, columns in parts]), self._notes.urls, known)

    def _take(self, left: int) -> list[tuple[int, SampleColumns]]:
        """What is to be written: all but the last so many items."""
        kept: deque[tuple[int, SampleColumns]] = deque()
        while left > 0 and self._unwritten:
            number, columns = self._unwritten.pop()
            items = len(columns.sizes)
            if items > left:
                columns, rest = columns.cut(items - left)
                self._unwritten.append((number, columns))
                columns = rest
            kept.appendleft((number, columns))
            left -= items
        taken, self._unwritten = list(self._unwritten), kept
        return taken

    def end(self) -> None:
        """Raises IncompleteEpochError at the end of an epoch that does not add up, where that is asked for."""
        if self._ledger.strict:
            self._reporter.report(all_taken=True).check()


ORDINAL_BITS = 40
PAGE_BITS = 8  # of ordinals: a shard takes so many bytes at least
IN_PAGE = (1 << PAGE_BITS) - 1


class Seen:
    """The samples of one pass: pages of a byte for each ordinal of a shard, which lie in the order in which they came."""

    def __init__(self) -> None:
        self._pages: defaultdict[int, int] = defaultdict(count().__next__)
        self._bytes: Any = None

    def add(self, shards: Any, ordinals: Any) -> int:
        """How many of them had been there, or are there twice."""
        import numpy as np  # noqa: PLC0415 - heavy

        samples = np.sort(shards << ORDINAL_BITS | ordinals)
        distinct = samples[np.diff(samples, prepend=-1) != 0]
        places = self._places(distinct)
        repeated = len(samples) - len(distinct) + int(self._bytes[places].sum())
        self._bytes[places] = 1
        return repeated

    def _places(self, ordered: Any) -> Any:
        import numpy as np  # noqa: PLC0415 - heavy

        pages = ordered >> PAGE_BITS
        begins = np.flatnonzero(np.diff(pages, prepend=-1))
        numbers = np.array([self._pages[page] for page in pages[begins].tolist()], np.int64)
        self._grow(len(self._pages) << PAGE_BITS)
        return np.repeat(numbers, np.diff(begins, append=len(pages))) << PAGE_BITS | ordered & IN_PAGE

    def _grow(self, size: int) -> None:
        import numpy as np  # noqa: PLC0415 - heavy

        if self._bytes is None or size > len(self._bytes):
            grown = np.zeros(2 * size, np.uint8)
            if self._bytes is not None:
                grown[: len(self._bytes)] = self._bytes
            self._bytes = grown


class Deliveries:
    """Of one iteration."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._counts = tally.delivered is not None or not tally.samples  # else nobody knows what was delivered before
        if self._counts:
            tally.delivered, tally.repeated = tally.delivered or 0, tally.repeated or 0
        self._seen = Seen()

    def begin_pass(self) -> None:
        self._seen = Seen()

    def add(self, columns: SampleColumns) -> None:
        if not self._counts:
            return
        known, tally = columns.rows[columns.rows[:, 2] >= 0], self._tally
        repeated = self._seen.add(known[:, 0], known[:, 2]) if len(known) else 0
        tally.delivered = (tally.delivered or 0) + len(columns.rows) - repeated
        tally.repeated = (tally.repeated or 0) + repeated
