"""How far an iteration has come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Progress:
    """How far an iteration has come: its epoch, how many items of that it gave, and whether these are all."""

    epoch: int
    items: int = 0
    ended: bool = False


@dataclass(frozen=True, slots=True)
class PassState:
    """Where in its passes over the data an iteration stands, of which pass `number` gave `items` so far.

    `stages` are the states of its stages, from which on `skip` items were given. Where there are none, because of `reason`, the
    pass is begun anew. `kept` are stages that gave what they kept of the pass of another epoch, by number. `tally` is what had
    become of samples. `left_out` were left out among the items from the states on: the epoch of the pass,
    the index of the shard, the ordinal.
    """

    number: int = 0
    items: int = 0
    skip: int = 0
    stages: list[Any] | None = None
    reason: str | None = None
    reads_shards: bool = False
    kept: Mapping[str, int | None] = field(default_factory=dict)
    tally: Mapping[str, Any] = field(default_factory=dict)
    left_out: Sequence[Sequence[int]] = ()

    @property
    def has_begun(self) -> bool:
        """Whether this iteration, or those whose states were merged, gave something of the pass."""
        return self.items > 0 or self.stages is not None
