"""What was written: a record for each shard, the manifest that lists them (`asyncwds.shards.manifests` has its form), and
indexes: one beside each shard, or one of all.

Shards stand in the order in which they were written. A url is as the writer gave it to the shard, except that a path in the
manifest's own folder is relative to it, so that both can move together, and one elsewhere is absolute. `bytes` and `sha256` are
those of the file.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from asyncwds import checks
from asyncwds.shards.manifests import FORMAT, ShardRecord, relative_to

if TYPE_CHECKING:
    from asyncwds.index.index import ShardIndex


__all__ = ["ShardRecord", "manifest_bytes"]


def manifest_bytes(manifest: str, records: Sequence[ShardRecord]) -> bytes:
    """The manifest that will be written to the URL `manifest`."""
    shards = [asdict(record) | {"url": relative_to(record.url, manifest)} for record in records]
    lines = ",\n".join(f"  {json.dumps(shard)}" for shard in shards)
    samples, size = sum(record.samples for record in records), sum(record.bytes for record in records)
    return (
        f'{{\n "format": {json.dumps(FORMAT)},\n "samples": {samples},\n "bytes": {size},\n "shards": [\n{lines}\n ]\n}}\n'
    ).encode()


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
