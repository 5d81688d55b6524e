"""Counts samples that were delivered, and those that were delivered before in the same pass: a byte each of a pass."""

from __future__ import annotations

from collections import defaultdict
from itertools import count
from typing import Any

from asyncwds.pipeline.sample_columns import SampleColumns
from asyncwds.runtime.tally import Tally

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
        tally.delivered = (tally.delivered or 0) + len(columns.keys) - repeated
        tally.repeated = (tally.repeated or 0) + repeated
