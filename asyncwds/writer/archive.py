"""An archive in the making: entries in, bytes out. No I/O."""

from __future__ import annotations

import hashlib
import tarfile
from array import array
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

from asyncwds.compression.kinds import KINDS, SUFFIXES
from asyncwds.errors import SampleError
from asyncwds.runtime.units import MiB
from asyncwds.tar.building import ending, size_with_end
from asyncwds.tar.headers import BLOCK
from asyncwds.writer.entries import Entry

if TYPE_CHECKING:
    from asyncwds.index.index import ShardIndex

CHUNK = MiB
"""How much [bytes] is written at a time, about."""


class Members(Sequence[tarfile.TarInfo]):
    """Names and sizes of what is in an archive, at some 70 bytes a member."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.sizes = array("Q")  # [bytes]

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, index: SupportsIndex) -> tarfile.TarInfo: ...
    @overload
    def __getitem__(self, index: slice) -> list[tarfile.TarInfo]: ...
    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        info = tarfile.TarInfo(self.names[index])
        info.size = self.sizes[index]
        return info


class Archive:
    """Collects entries until there is a chunk to take.

    kind          compression, or None
    hashed        keeps a SHA-256 of what is taken
    indexed       keeps what an index is made of
    check_names   an entry with the key of the one before is a SampleError: read back, the two would be one sample
    """

    def __init__(self, kind: str | None, *, hashed: bool, check_names: bool, indexed: bool = False) -> None:
        self.samples = 0
        self.payload = 0  # [bytes] of fields
        self.position = 0  # [bytes] of the archive so far, before compression
        self.taken = 0  # [bytes] of the file so far
        self.members = Members()
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._compressor = None if kind is None else KINDS[SUFFIXES[kind]].compressor()
        self._hash = hashlib.sha256() if hashed else None
        self._heads = array("Q") if indexed else None  # [bytes] of headers before each member
        self._check_names = check_names
        self._last_key: str | None = None

    @property
    def is_full(self) -> bool:
        """Whether there is a chunk to take."""
        return self._pending_bytes >= CHUNK

    @property
    def mark(self) -> bytes:
        """What ends the archive for now, if it is not compressed."""
        return bytes(2 * BLOCK) if self._compressor is None else b""

    @property
    def is_quick(self) -> bool:
        """Whether taking a chunk is no more than joining it."""
        return self._compressor is None and self._hash is None

    @property
    def sha256(self) -> str | None:
        return None if self._hash is None else self._hash.hexdigest()

    def size_with(self, entry: Entry) -> int:
        """Bytes of the archive, before compression, if it ended with this entry."""
        return size_with_end(self.position + entry.nbytes)

    def append(self, entry: Entry) -> None:
        if self._check_names and entry.key is not None and entry.key == self._last_key:
            raise SampleError("two samples in a row have this key, and would come back as one", key=entry.key)
        self._last_key = entry.key
        self._pending += entry.pieces
        self._pending_bytes += entry.nbytes
        self.position += entry.nbytes
        self.payload += entry.payload
        self.members.names += entry.names
        self.members.sizes.extend(entry.sizes)
        self.samples += entry.key is not None
        if self._heads is not None:
            self._heads.extend([len(header) for header in entry.pieces[::3]])

    def index(self, url: str) -> ShardIndex | None:
        """What is in it, once it has ended; None unless it is `indexed`."""
        if self._heads is None:
            return None
        from asyncwds.index.columns import columns_of  # noqa: PLC0415 - it brings numpy
        from asyncwds.index.index import ShardIndex  # noqa: PLC0415 - as above
        from asyncwds.index.recording import rows_written  # noqa: PLC0415 - as above

        rows = list(rows_written(self.members.names, self.members.sizes, self._heads))
        if self._compressor is not None:
            return ShardIndex(url, len(rows), self.taken)
        return ShardIndex.of(url, columns_of(rows), self.taken)

    def take(self) -> Iterator[bytes]:
        """What has come since the last call, as it goes into the file. To be used up before the next call."""
        pieces, self._pending = self._pending, []
        self._pending_bytes = 0
        for chunk in _join_pieces(pieces):
            data = chunk if self._compressor is None else self._compressor.compress(chunk)
            if data:
                yield self._count_taken(data)

    def finish(self) -> Iterator[bytes]:
        """The rest, with the archive's end."""
        self._pending.append(ending(self.position))
        yield from self.take()
        if self._compressor is not None:
            yield self._count_taken(self._compressor.flush())

    def _count_taken(self, data: bytes) -> bytes:
        self.taken += len(data)
        # In a thread beside the writing it takes a quarter more CPU time, and a quarter longer where other cores are busy, as they
        # are with a writer for each; with an idle core it would be 1.6 times as fast.
        if self._hash is not None:
            self._hash.update(data)
        return data


def _join_pieces(pieces: list[bytes]) -> Iterator[bytes]:
    """Small pieces as one, large ones without a copy."""
    small: list[bytes] = []
    for piece in pieces:
        if len(piece) < CHUNK:
            small.append(piece)
            continue
        yield b"".join(small)
        yield piece
        small = []
    yield b"".join(small)
