"""What was written: a record for each shard, and the manifest that lists them (`asyncwds.shards.manifests` has its form).

Shards stand in the order in which they were written. A url is as the writer gave it to the shard, except that a path in
the manifest's own folder is relative to it, so that both can move together, and one elsewhere is absolute. `bytes` and
`sha256` are those of the file.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from asyncwds.shards.manifests import FORMAT, ShardRecord, relative_to

__all__ = ["ShardRecord", "manifest_bytes"]


def manifest_bytes(manifest: str, records: Sequence[ShardRecord]) -> bytes:
    """The manifest that will be written to the URL `manifest`."""
    shards = [asdict(record) | {"url": relative_to(record.url, manifest)} for record in records]
    lines = ",\n".join(f"  {json.dumps(shard)}" for shard in shards)
    samples, size = sum(record.samples for record in records), sum(record.bytes for record in records)
    return (
        f'{{\n "format": {json.dumps(FORMAT)},\n "samples": {samples},\n "bytes": {size},\n "shards": [\n{lines}\n ]\n}}\n'
    ).encode()
