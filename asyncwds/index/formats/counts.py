"""Lists of shards with the numbers of their samples: wids' JSON, open_clip's `sizes.json`, manifests of asyncwds.

How they are read stands in `asyncwds.shards.manifests`: a dataset takes them for its urls, too.
"""

from __future__ import annotations

import json

from asyncwds.errors import SpecError
from asyncwds.index.index import Index, ShardIndex
from asyncwds.shards.manifests import records_of, relative_to


def decode(data: bytes, url: str) -> Index:
    """Raises SpecError for what is no such list."""
    return Index(tuple([ShardIndex(record.url, record.samples, record.bytes or None) for record in records_of(data, url)]))


def encode_wids(index: Index, url: str) -> bytes:
    """Without the `md5sum` that wids writes and does not need: it is that of all bytes of a shard."""
    shards = [
        {"url": relative_to(shard.url, url), "nsamples": shard.samples} | ({} if shard.size is None else {"filesize": shard.size})
        for shard in index.shards
    ]
    return json.dumps({"__kind__": "wids-shard-index-v1", "wids_version": 1, "shardlist": shards}, indent=2).encode()


def encode_sizes(index: Index) -> bytes:
    """Raises SpecError where two shards are called alike: the format has nothing but names."""
    sizes = {shard.url.partition("?")[0].rpartition("/")[2]: shard.samples for shard in index.shards}
    if len(sizes) < len(index.shards):
        raise SpecError("two shards have the same name, by which alone sizes.json tells them apart")
    return json.dumps(sizes, indent=1).encode()
