"""What a plan consists of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Begin(NamedTuple):
    """In the middle of a shard: before the sample `wanted` (an ordinal).

    `ordinal` and `offset` [bytes] are of the first sample to be read: that one or one before it. `identity` is of the object.
    """

    wanted: int = 0
    ordinal: int = 0
    offset: int = 0
    identity: str | None = None


@dataclass(frozen=True, slots=True)
class Shard:
    """One tar archive to read; `index` is its position in the full list of urls, before any split or shuffle.

    It is read from `begin` on, if it has one.
    """

    url: str
    index: int
    begin: Begin | None = None
