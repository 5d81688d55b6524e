"""The samples of shards as far as they are known, by numbers that do not change while more become known; and both as JSON for the
page. No I/O.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal, NamedTuple

import numpy as np

from asyncwds.engine.contents import Contents
from asyncwds.errors import NoSuchSampleError, redact
from asyncwds.formatting.texts import plural
from asyncwds.index.columns import Columns, Field, Row, columns_of
from asyncwds.index.index import ShardIndex
from asyncwds.index.recording import row_of
from asyncwds.previews.kinds import kind_of

NO_COLUMNS = columns_of([])


@dataclass(eq=False)
class ShardEntry:
    """A shard: not looked at yet, with an index, or with what was read of its headers.

    source   where its bytes are: another url than its own where it is compressed and was unpacked
    problems what was wrong with it
    """

    url: str
    source: str = ""
    state: Literal["waiting", "reading", "ready"] = "waiting"
    index: ShardIndex | None = None
    rows: list[Row] = field(default_factory=list)
    contents: Contents | None = None
    problems: list[str] = field(default_factory=list)
    _taken: int = 0

    def __post_init__(self) -> None:
        self.source = self.source or self.url

    def __len__(self) -> int:
        return len(self.rows) if self.index is None else self.index.samples

    def row(self, number: int) -> Row:
        return self.rows[number] if self.index is None else self.index.columns[number]

    def columns(self) -> Columns:
        if self.index is not None:
            return self.index.columns
        return columns_of(self.rows) if self.rows else NO_COLUMNS

    @property
    def size(self) -> int | None:
        """[bytes] as far as known."""
        if self.index is not None:
            return self.index.size
        return None if self.contents is None else self.contents.total

    @property
    def identity(self) -> str | None:
        if self.index is not None:
            return self.index.identity
        return None if self.contents is None else self.contents.identity

    def refresh(self) -> None:
        """Takes the samples that were read since."""
        if self.contents is None or self.index is not None:
            return
        blocks = self.contents.blocks[self._taken :]
        self._taken += len(blocks)
        for block in blocks:
            self.rows += map(row_of, block.samples)
            if block.error is not None:
                self.problems.append(str(block.error))


class Place(NamedTuple):
    """A sample: its number over all shards, its shard, and what is known of it."""

    number: int
    entry: ShardEntry
    row: Row

    def field(self, number: int) -> Field:
        """Raises NoSuchSampleError where there are fewer."""
        if not 0 <= number < len(self.row.fields):
            raise NoSuchSampleError(f"this sample has {plural(len(self.row.fields), 'field')}", key=self.row.key)
        return self.row.fields[number]


class Catalog:
    """Shards in order. Samples are counted over those that are ready, up to and with the first one that is not: so they keep
    their numbers. Changed on the loop only, by whoever learns of samples; threads may look meanwhile.
    """

    def __init__(self, urls: Sequence[str]) -> None:
        self.entries = [ShardEntry(url) for url in urls]
        self._ends: list[int] = []  # of the shards at the beginning that are ready

    @property
    def complete(self) -> bool:
        return len(self._ends) == len(self.entries)

    @property
    def ready(self) -> int:
        """Shards that are."""
        return sum(entry.state == "ready" for entry in self.entries)

    def __len__(self) -> int:
        settled = len(self._ends)
        return (self._ends[settled - 1] if settled else 0) + sum(map(len, self.entries[settled : settled + 1]))

    def visible(self) -> list[ShardEntry]:
        """Those whose samples are counted."""
        return self.entries[: len(self._ends) + 1]

    def columns(self) -> list[Columns]:
        """Of those."""
        return [entry.columns() for entry in self.visible()]

    def place(self, number: int) -> Place:
        """Raises NoSuchSampleError."""
        count = len(self)
        if not 0 <= number < count:
            so_far = "" if self.complete else " so far"
            raise NoSuchSampleError(f"there is no sample {number}: {plural(count, 'sample')} are known{so_far}")
        shard = bisect_right(self._ends, number)
        entry = self.entries[shard]
        return Place(number, entry, entry.row(number - (self._ends[shard - 1] if shard else 0)))

    def problems(self) -> Iterator[tuple[ShardEntry, str]]:
        return ((entry, problem) for entry in self.entries for problem in entry.problems)

    def settle(self) -> None:
        """Counts the samples of shards that are ready now."""
        while len(self._ends) < len(self.entries) and self.entries[len(self._ends)].state == "ready":
            entry = self.entries[len(self._ends)]
            self._ends.append(len(entry) + (self._ends[-1] if self._ends else 0))


def count_fields(shards: Sequence[Columns]) -> dict[str, int]:
    """How many samples have each field, by its name in lower case, in the order in which they come."""
    counts: dict[str, int] = {}
    for columns in shards:
        of_schemas = np.bincount(columns.schema, minlength=len(columns.schemas)).tolist()
        for names, samples in zip(columns.schemas, of_schemas, strict=True):
            for name in dict.fromkeys(map(str.lower, names)):
                counts[name] = counts.get(name, 0) + samples
    return counts


MOST_PROBLEMS = 100


def describe_state(catalog: Catalog) -> dict[str, Any]:
    fields = count_fields(catalog.columns())
    problems = list(islice(catalog.problems(), MOST_PROBLEMS))
    return {
        "title": _title(catalog),
        "shards": len(catalog.entries),
        "ready": catalog.ready,
        "samples": len(catalog),
        "complete": catalog.complete,
        "fields": [{"name": shown(name), "samples": samples, "kind": kind_of(name).kind} for name, samples in fields.items()],
        "problems": [{"shard": shown(redact(entry.url)), "message": problem} for entry, problem in problems],
    }


def describe_sample(place: Place) -> dict[str, Any]:
    row = place.row
    fields = []
    for each in row.fields:
        kind = kind_of(each.suffix)
        native = kind.type if kind.kind in ("image", "audio", "video") else None
        fields.append({"name": shown(each.suffix), "kind": kind.kind, "type": native, "nbytes": each.size})
    return {
        "number": place.number,
        "key": shown(row.key),
        "shard": shown(redact(place.entry.url)),
        "ordinal": row.ordinal,
        "offset": row.offset,
        "nbytes": row.end - row.offset,
        "fields": fields,
    }


def shown(name: str) -> str:
    """What is no Unicode in names of members cannot be sent."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _title(catalog: Catalog) -> str:
    names = [redact(entry.url).partition("?")[0].rpartition("/")[2] for entry in catalog.entries]
    return shown(names[0] if len(names) == 1 else f"{names[0]} … {names[-1]}") if names else "no shards"
