"""Keeps the index of each shard that was read to its end: in the folder of a cache, or beside a local shard."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from asyncwds.engine.blocks import ShardListing
from asyncwds.errors import SpecError
from asyncwds.index.columns import columns_of
from asyncwds.index.encoding import decode, encode
from asyncwds.index.exporting import index_url
from asyncwds.index.index import Index, ShardIndex
from asyncwds.index.recording import rows_read
from asyncwds.shards.urls import local_path


@dataclass(frozen=True)
class IndexKeeper:
    """Called with what was seen of a shard. `folder` (with a slash) is where indexes go; None is beside local shards."""

    folder: str | None

    def __call__(self, listing: ShardListing) -> None:
        """Writes the index, unless it is there. Nothing, where it cannot be told where payloads are, or nothing can be written."""
        is_local = local_path(listing.url) is not None
        place = index_url(listing.url, folder=self.folder)
        path = local_path(place)
        rows = rows_read(listing.samples, listing.payloads)
        if path is None or rows is None:
            return
        identity = None if is_local else listing.identity
        if _is_kept(path, place, listing.size, identity):
            return
        shard = ShardIndex.of(listing.url, columns_of(rows), listing.size, identity)
        with suppress(OSError):
            _write(Path(path), encode(Index((shard,)), place))


def _is_kept(path: str, place: str, size: int | None, identity: str | None) -> bool:
    try:
        kept = decode(Path(path).read_bytes(), place).shards
    except (OSError, SpecError):
        return False
    return [(shard.size, shard.identity) for shard in kept] == [(size, identity)]


def _write(path: Path, data: bytes) -> None:
    """All of it or nothing, whoever else writes the same."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_bytes(data)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
