"""Lists of shards with the numbers of their samples: wids' JSON, open_clip's `sizes.json`, open_lm's `manifest.jsonl`, manifests of
asyncwds. open_clip's `__len__` has the number of all samples alone, and is only written.

How they are read stands in `asyncwds.shards.manifests`: a dataset takes them for its urls, too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from asyncwds.errors import SpecError
from asyncwds.index.formats.digests import ShardDigests
from asyncwds.index.index import Index, ShardIndex
from asyncwds.shards.manifests import records_of, relative_to


def decode(data: bytes, url: str) -> Index:
    """Raises SpecError for what is no such list."""
    return Index(tuple([ShardIndex(record.url, record.samples, record.bytes or None) for record in records_of(data, url)]))


def encode_wids(index: Index, url: str, digests: Mapping[str, ShardDigests]) -> bytes:
    """Without digests there is no `md5sum`, which wids writes and does not need."""
    shards = [
        {"url": relative_to(shard.url, url)}
        | ({"md5sum": digests[shard.url].md5} if shard.url in digests else {})
        | {"nsamples": shard.samples}
        | ({} if shard.size is None else {"filesize": shard.size})
        for shard in index.shards
    ]
    return json.dumps({"__kind__": "wids-shard-index-v1", "wids_version": 1, "shardlist": shards}, indent=2).encode()


def encode_sizes(index: Index) -> bytes:
    """Raises SpecError where two shards are called alike: the format has nothing but names."""
    sizes = {shard.url.partition("?")[0].rpartition("/")[2]: shard.samples for shard in index.shards}
    if len(sizes) < len(index.shards):
        raise SpecError("two shards have the same name, by which alone sizes.json tells them apart")
    return json.dumps(sizes, indent=1).encode()


def encode_manifest(index: Index, url: str) -> bytes:
    """A line for each shard, whose name has no `.tar`, and is relative to the manifest where the shard is in its folder or below.

    Raises SpecError for a shard that is not called so: open_lm puts `.tar` behind each.
    """
    return b"".join([json.dumps(_as_line(shard, url)).encode() + b"\n" for shard in index.shards])


def _as_line(shard: ShardIndex, url: str) -> dict[str, str | int]:
    folder = url[: url.rfind("/") + 1]
    name = relative_to(shard.url, url).removeprefix(folder or "./")
    if not name.endswith(".tar"):
        raise SpecError("open_lm's manifests have only shards called NAME.tar", url=shard.url)
    return {"shard": name.removesuffix(".tar"), "num_sequences": shard.samples}


def encode_len(index: Index) -> bytes:
    return b"%d\n" % len(index)
