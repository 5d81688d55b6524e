"""Indexes of what was written: one beside each shard, or one of all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from asyncwds import checks

if TYPE_CHECKING:
    from asyncwds.index.index import ShardIndex

BESIDE = ""
"""In place of a url."""


def index_target(index: Any) -> str | None:
    """What the argument `index` of a writer means: a url, `BESIDE` each shard, or None. Raises SpecError for anything else."""
    if isinstance(index, bool) or index is None:
        return BESIDE if index else None
    checks.path("index, if it is not True or False,", index)
    return str(index)


def index_bytes(shards: Sequence[ShardIndex], url: str) -> bytes:
    """The file that will be at `url`."""
    from asyncwds.index.encoding import encode  # noqa: PLC0415 - it brings numpy
    from asyncwds.index.index import Index  # noqa: PLC0415 - as above

    return encode(Index(tuple(shards)), url)


def index_beside(shard: ShardIndex) -> tuple[str, bytes]:
    """Where the index of a shard is written, and the file."""
    from asyncwds.index.exporting import index_url  # noqa: PLC0415 - it brings numpy

    url = index_url(shard.url)
    return url, index_bytes([shard], url)
