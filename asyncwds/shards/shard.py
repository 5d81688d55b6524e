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


class Limit(NamedTuple):
    """In the middle of a shard or at its end: before the ordinal `stop`; `to_end` says that the shard has no more samples.

    `end` [bytes] is where the last one ends; None is not known. `size` [bytes] is that of the shard of which this is known.
    `padding` says whether the samples are given a second time; None where they don't say so. Where it is not `counted` it is no
    error that the shard has fewer.
    """

    stop: int
    to_end: bool
    end: int | None = None
    size: int | None = None
    padding: bool | None = None
    counted: bool = True


@dataclass(frozen=True, slots=True)
class Shard:
    """One tar archive to read; `index` is its position in the full list of urls, before any split or shuffle.

    It is read from `begin` on, if it has one, and to `limit`.
    """

    url: str
    index: int
    begin: Begin | None = None
    limit: Limit | None = None
