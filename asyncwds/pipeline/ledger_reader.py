"""Reads what a ledger wrote: which samples were in which step."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from asyncwds import checks
from asyncwds.errors import SpecError
from asyncwds.formatting.texts import plural
from asyncwds.pipeline.ledger_file import LedgerShard, read_lines, unpack_items
from asyncwds.runtime.worker_info import WorkerInfo
from asyncwds.samples import Origin


class StepSample(NamedTuple):
    """A sample of a step, by the url of its shard, without secrets, its key, and its origin; None is not known."""

    url: str | None
    key: str
    origin: Origin | None


@dataclass(frozen=True, slots=True)
class Step:
    """An item that was given: the `number`th of pass `pass_number` of an epoch, of this worker, and its samples in their order."""

    epoch: int
    pass_number: int
    number: int
    worker_info: WorkerInfo
    seed: int
    samples: tuple[StepSample, ...]
    shards: dict[int, LedgerShard] = field(repr=False, compare=False)
    ledger: Path = field(repr=False, compare=False)


class LedgerReader(Sequence[Step]):
    """The steps of a rank, from the first of the first epoch on, as its loop had them: of several workers one of each in turn.

    Raises SpecError where there is no such ledger.
    """

    def __init__(self, path: str | os.PathLike[str], rank: int) -> None:
        self._path = Path(path)
        files = _files(self._path, rank)
        if not files:
            raise SpecError(f"there is no ledger {self._path}" + (f" of rank {rank}" if rank else ""))
        self._epochs: dict[int, dict[int, list[dict[str, Any]]]] = {}
        for file in files:
            for values in read_lines(file):
                self._epochs.setdefault(values["epoch"], {}).setdefault(values["worker_info"][2], []).append(values)

    def __len__(self) -> int:
        return sum(sum(_counts(workers)) for workers in self._epochs.values())

    def __getitem__(self, number: Any) -> Any:
        """Raises IndexError for what was no step, as lists do."""
        if isinstance(number, slice):
            return [self[each] for each in range(*number.indices(len(self)))]
        wanted = checks.whole("step", number)
        left = wanted if wanted >= 0 else wanted + len(self)
        for _, workers in sorted(self._epochs.items()):
            counts = _counts(workers)
            if 0 <= left < sum(counts):
                worker, item = turn_of(counts, left)
                return _step(sorted(workers.items())[worker][1], item, self._path)
            left -= sum(counts)
        raise IndexError(f"the ledger {self._path} has {plural(len(self), 'step')}, and no number {number}")

    def __iter__(self) -> Iterator[Step]:
        return (self[number] for number in range(len(self)))

    def __repr__(self) -> str:
        return f"<{plural(len(self), 'step')} of {plural(len(self._epochs), 'epoch')} in {self._path}>"


def read_ledger(path: str | os.PathLike[str], *, rank: int = 0) -> LedgerReader:
    """What was written by `Ledger(path)` on a rank: a sequence of `Step`."""
    checks.path("read_ledger: path", path)
    return LedgerReader(path, checks.whole("read_ledger: rank", rank, 0))


def _files(path: Path, rank: int) -> list[Path]:
    pattern = re.compile(rf"{re.escape(path.stem)}(\.rank{rank})?(\.worker\d+)?{re.escape(path.suffix)}")
    found = sorted(each for each in path.parent.glob("*") if pattern.fullmatch(each.name)) if path.parent.is_dir() else []
    own = [each for each in found if f".rank{rank}" in each.name]
    return own or [each for each in found if ".rank" not in each.name and rank == 0]


def ranks_of(path: str | os.PathLike[str]) -> list[int]:
    """Those of which there are files."""
    whole = Path(path)
    pattern = re.compile(rf"{re.escape(whole.stem)}(?:\.rank(\d+))?(?:\.worker\d+)?{re.escape(whole.suffix)}")
    names = [each.name for each in whole.parent.glob("*")] if whole.parent.is_dir() else []
    return sorted({int(found[1] or 0) for name in names if (found := pattern.fullmatch(name))})


def _counts(workers: dict[int, list[dict[str, Any]]]) -> list[int]:
    return [sum(values["steps"] for values in lines) for _, lines in sorted(workers.items())]


def turn_of(counts: Sequence[int], number: int) -> tuple[int, int]:
    """Which worker gives item `number`, and how many it gave before: each of them gives one in turn, until it has none."""
    going, begun = list(range(len(counts))), 0
    while True:
        rounds = min(counts[worker] for worker in going) - begun
        if number < rounds * len(going):
            return going[number % len(going)], begun + number // len(going)
        number -= rounds * len(going)
        begun += rounds
        going = [worker for worker in going if counts[worker] > begun]


def _step(lines: list[dict[str, Any]], item: int, path: Path) -> Step:
    """The `item`th of what was written of an epoch, which may begin in the middle of that."""
    for values in lines:
        if item < values["steps"]:
            break
        item -= values["steps"]
    items, shards = unpack_items(values)
    samples = tuple(
        [StepSample(url, key, None if ref[1] < 0 else Origin(shards[ref[0]].number, *ref[1:])) for url, key, ref in items[item]]
    )
    place, seed = WorkerInfo(*values["worker_info"]), values["seed"]
    known = {shard.number: shard for shard in shards}
    return Step(values["epoch"], values["pass"], values["step"] + item, place, seed, samples, known, path.resolve())
