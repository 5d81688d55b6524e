"""An account of the samples of an epoch: `Report`, which `ds.report()` returns, and how those of several are added up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from asyncwds.errors import IncompleteEpochError
from asyncwds.formatting.texts import html_table, plural, size
from asyncwds.runtime.tally import MOST_SKIPS, Skip, added
from asyncwds.runtime.worker_info import WorkerInfo

SHOWN = 5  # of the places that a message names


@dataclass(frozen=True, slots=True, repr=False)
class Report:
    """What became of the samples of an epoch, in one process or in several, whose reports add up with `+` and `sum`.

    `planned` = `delivered` + `skipped` + `dropped` + `held` + `unread`, and what is left is `missing` or `unaccounted`. None is
    not known: of the samples of shards that no manifest and no index counts, and where a function of yours stands between and
    nothing follows the samples one by one, as a `Ledger` does.

    epoch            the number of the iteration
    workers          which ranks and workers it is of
    ended            whether they all came to the end of it
    items            what they gave: samples or batches
    planned          samples of the shards of the passes that have begun
    delivered        samples that the items were made of
    skipped          samples of which handlers were asked; `reasons` has how often, `skips` the first 1,000, with their places
    dropped          samples that stages left out, by stage: `select`, `map` for None, `rsample`, last batches that are not full
    held             samples that stages had taken and not given, where more was not asked for
    unread           samples of shards that were not read to their end, since no more was asked for
    missing          samples that shards lacked which were read without an error, by url; below 0 where they had more
    unaccounted      samples that went into a function of yours, and did not come out
    repeated         samples that were delivered before in the epoch; None where nothing follows them one by one
    repeated_keys    samples whose key had been in their shard before
    planned_shards   and those read to their end, `shards`, or not because of an error, `shards_failed`
    listed           shards of the list that ranks and workers share out; `indexes` are the planned ones in it
    retried          bytes that came by requests which were made again, `retries`
    """

    epoch: int | None = None
    workers: tuple[WorkerInfo, ...] = ()
    ended: bool = True
    items: int = 0
    planned: int | None = 0
    delivered: int | None = 0
    skipped: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    held: int | None = 0
    unread: int | None = 0
    missing: dict[str, int] = field(default_factory=dict)
    unaccounted: int | None = 0
    repeated: int | None = 0
    repeated_keys: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    skips: tuple[Skip, ...] = ()
    planned_shards: int | None = 0
    shards: int = 0
    shards_failed: int = 0
    listed: int | None = None
    indexes: tuple[int, ...] | None = ()
    retries: int = 0
    retried: int = 0

    def __add__(self, other: Report) -> Report:
        if not isinstance(other, Report):
            return NotImplemented
        if not self.workers or not other.workers:
            return other if not self.workers else self
        sums: dict[str, Any] = {name: added(getattr(self, name), getattr(other, name)) for name in _SUMS}
        sums |= {name: _total(getattr(self, name), getattr(other, name)) for name in ("dropped", "missing", "reasons")}
        return Report(
            **sums,
            epoch=self.epoch if self.epoch == other.epoch else None,
            workers=self.workers + other.workers,
            ended=self.ended and other.ended,
            skips=(self.skips + other.skips)[:MOST_SKIPS],
            listed=self.listed if self.listed == other.listed else None,
            indexes=None if self.indexes is None or other.indexes is None else tuple(sorted(self.indexes + other.indexes)),
        )

    def __radd__(self, other: object) -> Report:
        return self if other == 0 else NotImplemented  # which `sum` begins with

    @property
    def absent(self) -> list[WorkerInfo]:
        """Workers of the ranks that are in it, and with several ranks all those of the others, that are not in it."""
        ranks = {info.rank for info in self.workers}
        found: list[WorkerInfo] = []
        for first in dict.fromkeys(WorkerInfo(0, info.world_size, 0, info.num_workers) for info in self.workers):
            wanted = ranks if len(ranks) == 1 else set(range(first.world_size))
            every = [replace(first, rank=rank, worker=worker) for rank in sorted(wanted) for worker in range(first.num_workers)]
            found += [info for info in every if info not in self.workers]
        return found

    @property
    def problems(self) -> list[str]:
        """In words, what does not add up; what was not asked for, skipped by a handler or dropped by a stage is no problem."""
        found = [f"{_lacks(url, samples)}" for url, samples in list(self.missing.items())[:SHOWN]]
        if len(self.missing) > SHOWN:
            found.append(f"{plural(len(self.missing) - SHOWN, 'more shard')} of another number of samples than planned")
        if self.unaccounted:
            found.append(f"{plural(self.unaccounted, 'sample')} went into the stages, did not come out, and no stage says why")
        if self.ended and not self.unread and self.planned_shards is not None:
            lost = self.planned_shards - self.shards - self.shards_failed
            if lost > 0 and self.unread == 0:
                found.append(f"{plural(lost, 'shard')} of {self.planned_shards} not read")
        if self.workers and self.absent:
            names = [f"worker {info.worker} of rank {info.rank}" for info in self.absent[:SHOWN]]
            found.append(f"no report of {', '.join(names)}" + (" and others" if len(self.absent) > SHOWN else ""))
        return found + self._shared_wrongly()

    def _shared_wrongly(self) -> list[str]:
        """Where all ranks and workers are there: shards of the list that none of them, or several, were to read."""
        world = {(info.world_size * info.num_workers) for info in self.workers}
        if world != {len(set(self.workers))} or self.listed is None or self.indexes is None:
            return []
        counts = Counter(self.indexes)
        nobody = [index for index in range(self.listed) if index not in counts]
        several = [index for index, times in counts.items() if times != max(1, min(counts.values()))]
        found = [f"{plural(len(nobody), 'shard')} of the list planned by nobody: number {_named(nobody)}"] if nobody else []
        return found + ([f"{plural(len(several), 'shard')} planned by several: number {_named(several)}"] if several else [])

    @property
    def adds_up(self) -> bool:
        """Whether nothing is missing, as far as that is known."""
        return not self.problems

    def check(self) -> None:
        """Raises IncompleteEpochError, which names what is missing, unless it adds up."""
        if problems := self.problems:
            raise IncompleteEpochError(f"the epoch does not add up: {'; '.join(problems)}", report=self)

    def as_dict(self) -> dict[str, Any]:
        """As JSON can have it; `from_dict` makes a report of it again."""
        return asdict(self) | {"skips": [list(skip) for skip in self.skips]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Report:
        """Of what `as_dict` gave, perhaps by way of JSON."""
        known = {each.name for each in fields(cls)}
        indexes = values.get("indexes", ())
        read = {
            "workers": tuple([WorkerInfo(**info) for info in values.get("workers", ())]),
            "skips": tuple([Skip(*skip) for skip in values.get("skips", ())]),
            "indexes": None if indexes is None else tuple(indexes),
        }
        return cls(**{**{name: value for name, value in values.items() if name in known}, **read})

    def summary(self) -> str:
        """One line: what became of the samples."""
        of_planned = "" if self.planned is None else f" of {self.planned}"
        parts = [f"{'?' if self.delivered is None else self.delivered}{of_planned} samples delivered"]
        if self.skipped or self.shards_failed:
            shards = f" and {plural(self.shards_failed, 'shard')} in part" if self.shards_failed else ""
            parts.append(f"{self.skipped} skipped{shards} ({', '.join(self.reasons)})")
        parts += [f"{samples} dropped by {stage}" for stage, samples in self.dropped.items()]
        if self.held or self.unread or (self.unread is None and not self.ended):
            parts.append(f"{'others' if self.unread is None else added(self.held, self.unread)} not asked for")
        if self.repeated or self.repeated_keys:
            parts.append(f"{self.repeated or 0} delivered again, {self.repeated_keys} with a key that had been there")
        if self.retried:
            parts.append(f"{size(self.retried)} fetched by {plural(self.retries, 'retry', 'retries')}")
        return "; ".join([*parts, *(self.problems if self.ended else [])])

    def __repr__(self) -> str:
        where = f"epoch {self.epoch}" if len(self.workers) < 2 else f"epoch {self.epoch}, {len(self.workers)} workers"
        shards = f"{self.shards} of {'?' if self.planned_shards is None else self.planned_shards} shards"
        return f"<Report {where}{'' if self.ended else ', not at its end'}: {shards}, {self.summary()}>"

    def _repr_html_(self) -> str:
        return html_table({name: value for name, value in asdict(self).items() if name != "indexes"})


def merged(reports: Sequence[Report]) -> Report:
    """Of several data sets that were read in one process: it is of that once, and of no list of shards."""
    if not reports:
        return Report()
    together = sum(reports[1:], reports[0])
    return replace(together, workers=tuple(dict.fromkeys(together.workers)), listed=None, indexes=None)


_SUMS = (
    "items", "planned", "delivered", "skipped", "held", "unread", "unaccounted", "repeated", "repeated_keys", "planned_shards",
    "shards", "shards_failed", "retries", "retried",
)  # fmt: skip


def _total(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {name: one.get(name, 0) + other.get(name, 0) for name in {**one, **other}}


def _lacks(url: str, samples: int) -> str:
    return f"{url} has {plural(abs(samples), 'sample')} {'less' if samples > 0 else 'more'} than planned"


def _named(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers[:SHOWN])) + (", …" if len(numbers) > SHOWN else "")
