"""What is asked of the account of an epoch: `Ledger`."""

from __future__ import annotations

import os
from dataclasses import dataclass

from asyncwds import checks


@dataclass(frozen=True, slots=True)
class Ledger:
    """Follows the samples of each item that a dataset gives, one by one, so that its report knows what was delivered.

    path     a file to which it is appended which samples were in which item, for `read_ledger` and `replay`. Each rank and worker
             has its own: `steps.rank1.worker0.jsonl` for `steps.jsonl`
    strict   at the end of an epoch that does not add up an IncompleteEpochError is raised: samples are missing, of shards or of
             what went into the stages, of which no handler was asked and that no stage left out
    """

    path: str | os.PathLike[str] | None = None
    strict: bool = False

    def __post_init__(self) -> None:
        checks.path("Ledger: path", self.path, optional=True)
        checks.flags(self, "strict")


def as_ledger(given: str | os.PathLike[str] | Ledger | None) -> Ledger | None:
    """A path is short for `Ledger(path)`."""
    return given if given is None or isinstance(given, Ledger) else Ledger(given)
