"""Settings of `pipe:`: plain data."""

from __future__ import annotations

from dataclasses import dataclass

from asyncwds import checks


@dataclass(frozen=True, slots=True)
class Command:
    """How `pipe:` urls are read.

    check  a command that fails is an error, also after all data. False is for commands that always end so: what they wrote
           counts, and a shard that is cut is an error still
    """

    check: bool = True

    def __post_init__(self) -> None:
        checks.flags(self, "check")
