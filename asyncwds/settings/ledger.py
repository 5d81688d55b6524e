"""What is asked of the account of an epoch: `Ledger`."""

from __future__ import annotations

from dataclasses import dataclass

from asyncwds import checks


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """Follows the samples of each item that a dataset gives, one by one, so that its report knows what was delivered.

    strict   at the end of an epoch that does not add up an IncompleteEpochError is raised: samples are missing, of shards or of
             what went into the stages, of which no handler was asked and that no stage left out
    """

    strict: bool = False

    def __post_init__(self) -> None:
        checks.flags(self, "strict")
