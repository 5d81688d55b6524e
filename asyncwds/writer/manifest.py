"""What was written: a record for each shard, and the manifest that lists them (`asyncwds.shards.manifests` has its form).

Shards stand in the order in which they were written. A url is as the writer gave it to the shard, except that a path in
the manifest's own folder is relative to it, so that both can move together. `bytes` and `sha256` are those of the file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict

from asyncwds.shards.manifests import FORMAT, ShardRecord
from asyncwds.shards.urls import local_path

__all__ = ["ShardRecord", "manifest_bytes"]


def manifest_bytes(manifest: str, records: Sequence[ShardRecord]) -> bytes:
    """The manifest that will be written to the URL `manifest`."""
    shards = [asdict(record) | {"url": _relative(record.url, manifest)} for record in records]
    lines = ",\n".join(f"  {json.dumps(shard)}" for shard in shards)
    samples, size = sum(record.samples for record in records), sum(record.bytes for record in records)
    return (
        f'{{\n "format": {json.dumps(FORMAT)},\n "samples": {samples},\n "bytes": {size},\n "shards": [\n{lines}\n ]\n}}\n'
    ).encode()


def _relative(url: str, manifest: str) -> str:
    path, beside = local_path(url), local_path(manifest)
    if path is None or beside is None:
        return url
    folder = os.path.dirname(os.path.abspath(beside))  # noqa: PTH100, PTH120 - no links resolved
    inside = os.path.relpath(os.path.abspath(path), folder)  # noqa: PTH100
    return url if inside.startswith(os.pardir) else inside
