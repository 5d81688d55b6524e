"""What is to be left out: `SkipList`, made of what users write as `skip=`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

from asyncwds import checks
from asyncwds.errors import SpecError
from asyncwds.formatting.texts import show_value
from asyncwds.pipeline.ledger_reader import LedgerReader, Step, ranks_of
from asyncwds.pipeline.skipping import Skipping
from asyncwds.settings.reading import Ledger

PASS_BITS = 32  # of an epoch, above which its pass is counted


@dataclass(frozen=True, slots=True)
class LedgerSteps:
    """Steps that a ledger has, by their numbers in it: for `skip=`, which leaves out what the steps of all ranks were made of.

    ledger   the path that was given to `Ledger`; of the files of ranks that are there, all count
    steps    a number, or several, as `range(60, 66)`
    """

    ledger: str | os.PathLike[str]
    steps: int | Sequence[int]

    def __post_init__(self) -> None:
        checks.path("LedgerSteps: ledger", self.ledger)
        given: object = self.steps
        numbers = given if isinstance(given, Iterable) and not isinstance(given, str | bytes) else [given]
        object.__setattr__(self, "steps", [checks.whole("LedgerSteps: each of steps", number) for number in numbers])

    def read(self) -> list[Step]:
        """Raises SpecError where there is no ledger, and where no rank has one of the steps."""
        readers = [LedgerReader(self.ledger, rank) for rank in ranks_of(self.ledger)]
        if not readers:
            raise SpecError(f"there is no ledger {self.ledger}")
        found: list[Step] = []
        for number in self.steps:  # type: ignore[union-attr] # a list
            steps = [reader[number] for reader in readers if -len(reader) <= number < len(reader)]
            if not steps:
                raise SpecError(f"the ledger {self.ledger} has {max(map(len, readers))} steps, and no number {number}")
            found += steps
        return found


@dataclass(frozen=True)
class SkipList:
    """Keys, in whichever shard; keys of shards, by their names; and of passes what steps had: url and ordinal, with the key.

    `ledgers` are the files of which the steps are.
    """

    keys: frozenset[str] = frozenset()
    of_shards: Mapping[str, frozenset[str]] = field(default_factory=dict)
    steps: Mapping[int, Mapping[str, Mapping[int, str]]] = field(default_factory=dict)
    ledgers: frozenset[Path] = frozenset()
    _warned: set[str] = field(default_factory=set, compare=False)  # about what did not occur

    def of_pass(self, epoch: int) -> Skipping | None:
        """What is left out in one pass; None is nothing."""
        steps = self.steps.get(epoch, {})
        anything = self.keys or self.of_shards or steps
        return Skipping(self.keys, self.of_shards, steps, self._warned) if anything else None

    @property
    def digest(self) -> str:
        of_shards = sorted((name, sorted(keys)) for name, keys in self.of_shards.items())
        steps = [
            (epoch, url, sorted(found.items())) for epoch, urls in sorted(self.steps.items()) for url, found in sorted(urls.items())
        ]
        return blake2b(repr((sorted(self.keys), of_shards, steps)).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()

    def __repr__(self) -> str:
        keys = len(self.keys) + sum(map(len, self.of_shards.values()))
        of_steps = sum(len(found) for urls in self.steps.values() for found in urls.values())
        return f"<{keys} keys and {of_steps} samples of steps>"


Entry = str | tuple[str, str] | Step | LedgerSteps
Skip = Entry | Iterable[Entry] | SkipList | None


def as_skip_list(skip: Skip) -> SkipList | None:
    """Of keys, pairs of a shard's name and a key, steps that `read_ledger` gave, and `LedgerSteps`; None where there are none.

    Raises SpecError for what is none of these.
    """
    if skip is None or isinstance(skip, SkipList):
        return skip
    entries: object = [skip] if isinstance(skip, str | Step | LedgerSteps) else skip
    if not isinstance(entries, Iterable) or isinstance(entries, bytes | Mapping):
        raise SpecError(f"skip takes a list of keys, pairs of a shard and a key, and steps of a ledger, not {show_value(skip)}")
    keys: set[str] = set()
    of_shards: dict[str, set[str]] = {}
    steps: list[Step] = []
    for entry in entries:
        match entry:
            case str():
                keys.add(entry)
            case Step():
                steps.append(entry)
            case LedgerSteps():
                steps += entry.read()
            case (str() as shard, str() as key) if len(shard):
                of_shards.setdefault(shard, set()).add(key)
            case _:
                raise SpecError(f"skip takes keys, pairs of a shard and a key, and steps of a ledger, and not {show_value(entry)}")
    shards = {name: frozenset(found) for name, found in of_shards.items()}
    if not (keys or shards or steps):
        return None
    return SkipList(frozenset(keys), shards, _of_steps(steps), frozenset(step.ledger for step in steps))


def _of_steps(steps: Iterable[Step]) -> dict[int, dict[str, dict[int, str]]]:
    found: dict[int, dict[str, dict[int, str]]] = {}
    for step in steps:
        urls = found.setdefault(step.epoch + (step.pass_number << PASS_BITS), {})
        for url, key, origin in step.samples:
            if url is None or origin is None:
                raise SpecError(f"the ledger does not say of what samples step {step.number} of epoch {step.epoch} was made")
            urls.setdefault(url, {})[origin.ordinal] = key
    return found


def require_other_ledger(ledger: Ledger | None, skip: SkipList | None) -> None:
    """Raises SpecError where the steps would be written over that are left out: of a later start they would be others."""
    if ledger is None or ledger.path is None or skip is None or Path(ledger.path).resolve() not in skip.ledgers:
        return
    raise SpecError(
        f"skip takes steps of {ledger.path}, which this ledger would write over from where it goes on, so that the next start "
        "would leave out other ones: give what goes on a ledger of another name"
    )
