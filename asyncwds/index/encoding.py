"""The file of an index, of one shard or of all of a data set. No I/O.

    8 bytes       MAGIC, which ends in the version
    4 bytes       length of the directory, little-endian
    directory     JSON, compressed by zlib: {"shards": [[url, samples, size, identity, length of its columns, CRC-32 of them], …]}
    columns       of each shard that has them, as `columns.pack` makes them

Urls that are relative paths are relative to the file, so that shards and index can move together.
"""

from __future__ import annotations

import json
import zlib
from typing import Any

from asyncwds.errors import SpecError
from asyncwds.index.index import Index, ShardIndex
from asyncwds.shards.manifests import relative_to, resolve_beside

SUFFIX = ".wdsindex"
MAGIC = b"wdsidx\x00\x01"
_HEAD = len(MAGIC) + 4


def encode(index: Index, url: str) -> bytes:
    """The file that will be at `url`."""
    entries = [
        [relative_to(shard.url, url), shard.samples, shard.size, shard.identity, *_measure(shard.packed)] for shard in index.shards
    ]
    directory = zlib.compress(json.dumps({"shards": entries}).encode("utf-8", "surrogateescape"))
    packed = [shard.packed for shard in index.shards if shard.packed is not None]
    return b"".join([MAGIC, len(directory).to_bytes(4, "little"), directory, *packed])


def decode(data: bytes, url: str) -> Index:
    """Raises SpecError for what is no such file, or damaged."""
    if data[: len(MAGIC) - 1] != MAGIC[:-1]:
        raise SpecError("this is no index of asyncwds", url=url)
    if data[: len(MAGIC)] != MAGIC:
        raise SpecError(f"this index is of version {data[len(MAGIC) - 1]}, which a later asyncwds reads", url=url)
    position = _HEAD + int.from_bytes(data[len(MAGIC) : _HEAD], "little")
    try:
        entries = json.loads(zlib.decompress(data[_HEAD:position]))["shards"]
        shards = []
        for entry in entries:
            name, samples, size, identity, length, checksum = entry
            packed = None if length is None else data[position : position + length]
            position += length or 0
            shards.append(_shard(resolve_beside(name, url), samples, size, identity, packed))
            _check(packed, length, checksum)
    except (zlib.error, KeyError, TypeError, ValueError) as error:
        raise error if isinstance(error, SpecError) else SpecError(f"the index is damaged: {error}", url=url) from error
    return Index(tuple(shards))


def _measure(packed: bytes | None) -> tuple[int | None, int | None]:
    return (None, None) if packed is None else (len(packed), zlib.crc32(packed))


def _check(packed: bytes | None, length: int, checksum: int) -> None:
    if packed is not None and (len(packed), zlib.crc32(packed)) != (length, checksum):
        raise ValueError("the columns of a shard are others than those that were written")


def _shard(url: Any, samples: Any, size: Any, identity: Any, packed: bytes | None) -> ShardIndex:
    sound = type(samples) is int and isinstance(size, int | None) and isinstance(identity, str | None)
    if not sound:
        raise ValueError("its directory makes no sense")
    return ShardIndex(url, samples, size, identity, packed)
