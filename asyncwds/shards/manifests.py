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

Lists of three others are read too: wids' (`{"wids_version": 1, "shardlist": [{"url": …, "nsamples": …, "filesize": …}]}`, with a
`base` for its urls, and lists of the same form in `datasets`), open_clip's `sizes.json` (`{"train-0.tar": 2, …}`), beside which
its shards are, and open_lm's `manifest.jsonl`, with a line for each shard (`{"shard": "train-0", "num_sequences": 2}`).
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from asyncwds.errors import SpecError
from asyncwds.shards.folders import is_json_lines, is_shard_name
from asyncwds.shards.urls import local_path, scheme_of

FORMAT = "asyncwds-manifest-1"


@dataclass(frozen=True, slots=True)
class ShardRecord:
    """One shard that was written: its samples, size [bytes] and, where a manifest is asked for, SHA-256. Lists of wids have MD5."""

    url: str
    samples: int
    bytes: int
    sha256: str | None = None
    md5: str | None = None


def records_of(text: bytes, manifest: str) -> list[ShardRecord]:
    """The shards that a manifest lists, in order; `manifest` is its url. Raises SpecError for what is none, or names commands."""
    shards = _listed(_parse(text, manifest), manifest)
    if shards is None:
        message = f'this JSON is no list of shards: the manifest that ShardWriter(manifest=...) writes has "format": "{FORMAT}"'
        raise SpecError(message, url=manifest)
    if not shards:
        raise SpecError("the manifest lists no shards", url=manifest)
    return [_record(shard, manifest) for shard in shards]


def _parse(text: bytes, manifest: str) -> Any:
    """What the JSON is; a list of what its lines are where each has its own."""
    try:
        return json.loads(text)
    except ValueError as error:
        lines = [line for line in text.split(b"\n") if line.strip()]
        try:
            return [json.loads(line) for line in lines]
        except ValueError as of_lines:
            error = of_lines if is_json_lines(manifest) else error
            raise SpecError(f"the manifest is no JSON: {error}", url=manifest) from error


def _listed(found: Any, manifest: str) -> list[Any] | None:
    """The shards of a list of any of the forms, as the entries of ours; None for what has none of them."""
    lines = found if isinstance(found, list) else [found]
    if lines and all(isinstance(line, dict) and "shard" in line for line in lines):
        return [_of_open_lm(line) for line in lines]
    if not isinstance(found, dict):
        return None
    if found.get("format") == FORMAT:
        shards = found.get("shards")
        return shards if isinstance(shards, list) else None
    if "wids_version" in found:
        return _listed_by_wids(found, manifest)
    if found and all(is_shard_name(name) and _is_count(samples) for name, samples in found.items()):
        return [{"url": name, "samples": samples, "bytes": 0} for name, samples in found.items()]
    return None


def _listed_by_wids(found: dict[str, Any], manifest: str) -> list[Any]:
    if found["wids_version"] != 1:
        raise SpecError(f"of wids' lists version 1 is known, not {found['wids_version']!r}", url=manifest)
    lists = [found, *(part for part in _list_in(found, "datasets", manifest) if isinstance(part, dict))]
    if any("source_url" in part for part in lists):
        raise SpecError("lists of wids that other urls have are not followed: give those urls to the dataset", url=manifest)
    return [_of_wids(shard, part.get("base")) for part in lists for shard in _list_in(part, "shardlist", manifest)]


def _list_in(found: dict[str, Any], name: str, manifest: str) -> list[Any]:
    shards = found.get(name, [])
    if not isinstance(shards, list):
        raise SpecError(f"`{name}` must be a list in a list of wids", url=manifest)
    return shards


def _of_wids(shard: Any, base: Any) -> Any:
    if not isinstance(shard, dict) or not isinstance(shard.get("url"), str):
        return shard
    url = shard["url"]
    if isinstance(base, str) and local_path(url) is not None and not url.startswith("/"):
        url = f"{base.rstrip('/')}/{url}"
    md5 = shard.get("md5sum")
    return {"url": url, "samples": shard.get("nsamples"), "bytes": shard.get("filesize", 0), "md5": md5 or None}


def _of_open_lm(line: dict[str, Any]) -> dict[str, Any]:
    name = line["shard"]
    url = name if not isinstance(name, str) or is_shard_name(name.rpartition("/")[2]) else f"{name}.tar"
    return {"url": url, "samples": line.get("num_sequences"), "bytes": 0}


def _record(shard: Any, manifest: str) -> ShardRecord:
    shard = shard if isinstance(shard, dict) else {}
    url, samples, nbytes, sha256, md5 = (shard.get(name) for name in ("url", "samples", "bytes", "sha256", "md5"))
    checksums = isinstance(sha256, str | None) and isinstance(md5, str | None)
    if not (isinstance(url, str) and url and _is_count(samples) and _is_count(nbytes) and checksums):
        raise SpecError(f"a shard of the manifest must have url, samples and bytes, not {str(shard)[:200]}", url=manifest)
    return ShardRecord(resolve_beside(url, manifest), samples, nbytes, sha256, md5)


def _is_count(number: Any) -> bool:
    return type(number) is int and number >= 0


def relative_to(url: str, manifest: str) -> str:
    """A url as it stands in a manifest: a path in the manifest's folder is relative to it, any other is absolute."""
    path, beside = local_path(url), local_path(manifest)
    if path is None or beside is None:
        return url
    folder = os.path.dirname(os.path.abspath(beside))  # noqa: PTH100, PTH120 - no links resolved
    full = os.path.abspath(path)  # noqa: PTH100 - as above
    inside = os.path.relpath(full, folder)
    return full if inside.startswith(os.pardir) else inside


def resolve_beside(url: str, manifest: str) -> str:
    """The url that stands in a manifest for a shard. Raises SpecError for commands, and files outside of a folder elsewhere."""
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
