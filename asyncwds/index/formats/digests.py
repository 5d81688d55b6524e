"""Digests of a shard and of its members, which some formats have room for. No I/O."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from asyncwds.errors import StaleIndexError
from asyncwds.index.columns import Field
from asyncwds.index.index import ShardIndex


@dataclass(frozen=True)
class ShardDigests:
    """In hexadecimal digits. `git` is the SHA-1 that git gives a file, None where its size was not known before it was read;
    `members` are the SHA-256 of payloads, by their offset.
    """

    md5: str
    sha256: str
    git: str | None
    members: Mapping[int, str]


class _Digest(Protocol):
    def update(self, data: memoryview, /) -> None: ...


class ShardDigester:
    """Takes all bytes of a shard, in order."""

    def __init__(self, shard: ShardIndex) -> None:
        self._shard = shard
        self._position = 0
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sha256 = hashlib.sha256()
        self._git = hashlib.sha1(b"blob %d\0" % (shard.size or 0), usedforsecurity=False)
        self._members: dict[int, str] = {}
        self._fields = _fields_of(shard)
        self._field = next(self._fields, None)
        self._member = hashlib.sha256()

    def update(self, data: memoryview) -> None:
        digests: tuple[_Digest, ...] = (self._md5, self._sha256, self._git)
        for digest in digests:
            digest.update(data)
        stop = self._position + len(data)
        while (field := self._field) is not None and field.offset <= stop:
            end = field.offset + field.size
            self._member.update(data[max(field.offset - self._position, 0) : end - self._position])
            if end > stop:
                break
            self._next(field)
        self._position = stop

    def _next(self, field: Field) -> None:
        self._members[field.offset] = self._member.hexdigest()
        self._member = hashlib.sha256()
        self._field = next(self._fields, None)

    def finish(self) -> ShardDigests:
        """Raises StaleIndexError where the shard is not the one of the index."""
        size = self._shard.size
        if size not in (None, self._position) or self._field is not None:
            raise _stale(self._shard, self._position)
        git = None if size is None else self._git.hexdigest()
        return ShardDigests(self._md5.hexdigest(), self._sha256.hexdigest(), git, self._members)


def _stale(shard: ShardIndex, found: int) -> StaleIndexError:
    error = StaleIndexError(f"the shard has {found} bytes, and its index is that of another one", url=shard.url)
    error.indexed, error.found = f"{shard.size} bytes", f"{found} bytes"
    return error


def _fields_of(shard: ShardIndex) -> Iterator[Field]:
    if shard.packed is not None:
        yield from (field for row in shard.rows() for field in row.fields)
