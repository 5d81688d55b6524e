"""Where the samples of items were, in columns: a ledger counts and writes these many at a time.

An item is noted when it is given, while it is in the processor's caches, and little of it is kept that the garbage collector would
look at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter
from typing import Any

from asyncwds.pipeline.held import rows_of
from asyncwds.pipeline.lineage import SampleTrace
from asyncwds.samples import SHARD_MASK, Sample

Traces = tuple[SampleTrace, ...]
NOWHERE = (-1, -1, -1)
ROW = 4  # numbers
_URL, _KEY, _ORIGIN = itemgetter(0), itemgetter(1), itemgetter(2)  # mapped, which takes less than a comprehension


@dataclass(frozen=True, slots=True)
class SampleColumns:
    """`rows` have of each sample the number of its shard, and its origin, whose numbers are below 0 where it is not known.

    `keys` may be left out. `sizes` says how many samples each item is made of.
    """

    rows: Any
    keys: list[str | None]
    sizes: list[int]

    def cut(self, items: int) -> tuple[SampleColumns, SampleColumns]:
        """The first items, and the others."""
        number = sum(self.sizes[:items])
        first = SampleColumns(self.rows[:number], self.keys[:number], self.sizes[:items])
        return first, SampleColumns(self.rows[number:], self.keys[number:], self.sizes[items:])


def joined_columns(parts: Sequence[SampleColumns]) -> SampleColumns:
    import numpy as np  # noqa: PLC0415 - heavy

    if len(parts) == 1:
        return parts[0]
    keys = list(chain.from_iterable([part.keys for part in parts]))
    sizes = list(chain.from_iterable([part.sizes for part in parts]))
    return SampleColumns(np.concatenate([part.rows for part in parts]), keys, sizes)


class SampleNotes:
    """Items that one thread notes, while another may take them; `urls` are of the shards, by their numbers.

    Keys are noted where somebody wants them.
    """

    def __init__(self, *, keys: bool = True) -> None:
        self._with_keys = keys
        self.urls: list[str | None] = []
        self._numbers: dict[str | None, int] = {}
        self._shards: list[int] = []
        self._origins: list[tuple[int, int, int] | None] = []
        self._keys: list[str | None] = []
        self._sizes: list[int] = []

    def add_sample(self, sample: Sample) -> bool:
        """Whether it tells where it came from, and was noted."""
        try:
            shard, key, origin = self._numbers[sample["__url__"]], sample["__key__"], sample._origin  # noqa: SLF001 - as in lineage
        except (KeyError, AttributeError):
            return False
        self._shards.append(shard)
        if self._with_keys:
            self._keys.append(key)
        self._origins.append(origin)
        self._sizes.append(1)  # last: what is not in there is not taken
        return True

    def add(self, traces: Traces) -> None:
        """An item that is made of these."""
        try:
            shards = list(map(self._numbers.__getitem__, map(_URL, traces)))
        except KeyError:
            shards = [self._number(url) for url, _, _ in traces]
        self._shards += shards
        if self._with_keys:
            self._keys += map(_KEY, traces)
        self._origins += map(_ORIGIN, traces)
        self._sizes.append(len(traces))

    def _number(self, url: str | None) -> int:
        number = self._numbers.get(url)
        if number is None:
            number = self._numbers[url] = len(self.urls)
            self.urls.append(url)
        return number

    def take(self) -> SampleColumns:
        """What was noted since the last time."""
        import numpy as np  # noqa: PLC0415 - heavy

        items = len(self._sizes)
        number = sum(self._sizes[:items])
        shards, origins = self._shards[:number], self._origins[:number]
        keys, sizes = self._keys[:number], self._sizes[:items]
        del self._shards[:number], self._origins[:number], self._keys[:number], self._sizes[:items]
        rows = np.empty((number, ROW), np.int64)
        rows[:, 0] = shards
        if not all(origins):  # which is seldom
            origins = [origin or NOWHERE for origin in origins]
        rows[:, 1:] = rows_of(origins)  # type: ignore[arg-type] # none is None
        rows[:, 1] = np.where(rows[:, 1] < 0, rows[:, 1], rows[:, 1] & SHARD_MASK)
        return SampleColumns(rows, keys, sizes)
