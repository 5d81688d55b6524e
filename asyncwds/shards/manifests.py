"""Lists of shards in JSON, as the writer leaves them: what is known of each shard before it is read.

    {
     "format": "asyncwds-manifest-1",
     "samples": 3, "bytes": 30720,
     "shards": [
      {"url": "train-000000.tar", "samples": 2, "bytes": 20480, "sha256": "…"},
      …
     ]
    }

A url that is a relative path is relative to the manifest, so that both can move together. A manifest that comes from elsewhere
names no local files, and none names commands.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from asyncwds.errors import SpecError
from asyncwds.shards.urls import local_path, scheme_of

FORMAT = "asyncwds-manifest-1"


@dataclass(frozen=True, slots=True)
class ShardRecord:
    """One shard that was written: its samples, size [bytes] and, where a manifest is asked for, SHA-256."""

    url: str
    samples: int
    bytes: int
    sha256: str | None = None


def records_of(text: bytes, manifest: str) -> list[ShardRecord]:
    """The shards that a manifest lists, in order; `manifest` is its url. Raises SpecError for what is none, or names commands."""
    try:
        found = json.loads(text)
    except ValueError as error:
        raise SpecError(f"the manifest is no JSON: {error}", url=manifest) from error
    if not isinstance(found, dict) or found.get("format") != FORMAT or not isinstance(found.get("shards"), list):
        message = f'this JSON is no list of shards: the manifest that ShardWriter(manifest=...) writes has "format": "{FORMAT}"'
        raise SpecError(message, url=manifest)
    if not found["shards"]:
        raise SpecError("the manifest lists no shards", url=manifest)
    return [_record(shard, manifest) for shard in found["shards"]]


def _record(shard: Any, manifest: str) -> ShardRecord:
    shard = shard if isinstance(shard, dict) else {}
    url, samples, nbytes, sha256 = (shard.get(name) for name in ("url", "samples", "bytes", "sha256"))
    if not (isinstance(url, str) and url and _is_count(samples) and _is_count(nbytes) and isinstance(sha256, str | None)):
        raise SpecError(f"a shard of the manifest must have url, samples and bytes, not {str(shard)[:200]}", url=manifest)
    return ShardRecord(_resolve_beside(url, manifest), samples, nbytes, sha256)


def _is_count(number: Any) -> bool:
    return type(number) is int and number >= 0


def _resolve_beside(url: str, manifest: str) -> str:
    path, beside = local_path(url), local_path(manifest)
    if path is None:
        if scheme_of(url) in ("pipe", "-"):
            raise SpecError(f"a manifest names no commands: {url[:200]!r}", url=manifest)
        return url
    if beside is not None:
        return os.path.join(os.path.dirname(beside), path)  # noqa: PTH118, PTH120 - a Path would normalise
    if os.path.isabs(path) or os.pardir in path.split("/"):  # noqa: PTH117 - as above
        raise SpecError(f"a manifest from elsewhere names no files outside of its folder: {url[:200]!r}", url=manifest)
    is_web = scheme_of(manifest) in ("http", "https")
    return (manifest.partition("?")[0] if is_web else manifest).rpartition("/")[0] + "/" + (quote(path) if is_web else path)
