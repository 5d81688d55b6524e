"""What a plan consists of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shard:
    """One tar archive to read; `index` is its position in the full list of urls, before any split or shuffle."""

    url: str
    index: int
