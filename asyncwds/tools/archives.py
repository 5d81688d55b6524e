"""One archive of raw samples on its way to its target. It is there whole, or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from asyncwds.compression.kinds import suffix_to_write
from asyncwds.runtime.blocking import BlockingPool
from asyncwds.runtime.units import KiB, MiB
from asyncwds.settings.access import Access
from asyncwds.shards.urls import local_path, scheme_of
from asyncwds.storage.local.output import FileOutput, Output
from asyncwds.tar.building import ending, size_with_end
from asyncwds.tar.raw import Piece, RawSample
from asyncwds.tar.raw_runs import RawRun, number_of
from asyncwds.tools.local import LocalShard
from asyncwds.tools.targets import open_target

if TYPE_CHECKING:
    from concurrent.futures import Future

    from asyncwds.tools.packing import Packing

AT_A_TIME = 8 * MiB
"""[bytes] that are handed to the thread that copies, while the next headers are read."""
SMALL = 64 * KiB  # [bytes] pieces below are joined before they are written


class Written(NamedTuple):
    """What became of an archive: samples, size of the file [bytes], and SHA-256, if it was asked for."""

    samples: int
    nbytes: int
    sha256: str | None


class RawArchive:
    """An archive in the making; `pool` has a single thread, where local files are written.

    Between local files that are not compressed nothing is looked at but headers.
    """

    def __init__(self, url: str, access: Access, pool: BlockingPool, *, hashed: bool) -> None:
        self._output = open_target(url, access)
        self._way = _way_to(self._output, suffix_to_write(None, url.partition("?")[0]), pool, hashed=hashed)
        self.is_remote = local_path(url) is None and scheme_of(url) not in ("-", "pipe")
        self.samples = 0
        self.position = 0  # [bytes] of the archive so far, before compression

    def size_with(self, nbytes: int) -> int:
        """Bytes of the archive, before compression, if it ended with so many more."""
        return size_with_end(self.position + nbytes)

    def append(self, item: RawSample | RawRun) -> None:
        self.samples += number_of(item)
        self.position += item.nbytes
        self._way.append(item)

    def commit(self) -> Written:
        """Makes it visible under its name."""
        self._way.finish(ending(self.position))
        self._output.commit()
        packing = self._way
        if isinstance(packing, _Copying):
            return Written(self.samples, size_with_end(self.position), None)
        return Written(self.samples, packing.nbytes, packing.sha256)

    def abort(self) -> None:
        """Drops it. Idempotent; does nothing after `commit`."""
        self._way.abort()
        self._output.abort()


def _way_to(output: Output, kind: str | None, pool: BlockingPool, *, hashed: bool) -> _Copying | Packing:
    if isinstance(output, FileOutput) and kind is None and not hashed:
        return _Copying(output, pool)
    from asyncwds.tools.packing import Packing  # noqa: PLC0415 - heavy

    return Packing(output, kind, hashed=hashed)


class _Copying:
    """Bytes go from file to file, and from memory, as they are."""

    def __init__(self, output: FileOutput, pool: BlockingPool) -> None:
        self._output = output
        self._pool = pool
        self._pieces: list[Piece] = []
        self._waiting = 0  # [bytes] of the pieces
        self._writing: Future[None] | None = None

    def append(self, item: RawSample | RawRun) -> None:
        for piece in (item.piece,) if isinstance(item, RawRun) else item.pieces():
            self._add(piece)
        self._waiting += item.nbytes
        if self._waiting >= AT_A_TIME:
            self._wait()
            self._writing = self._pool.submit(_write_pieces, self._output, self._pieces)
            self._pieces, self._waiting = [], 0

    def finish(self, end: bytes) -> None:
        self._add(Piece(end, 0, len(end)))
        self._wait()
        _write_pieces(self._output, self._pieces)

    def abort(self) -> None:
        if self._writing is not None:
            self._writing.cancel()
            if not self._writing.cancelled():
                self._writing.exception()  # waits
            self._writing = None

    def _add(self, piece: Piece) -> None:
        last = self._pieces[-1] if self._pieces else None
        if last is not None and last.source is piece.source and last.stop == piece.start:
            self._pieces[-1] = Piece(last.source, last.start, piece.stop)
        else:
            self._pieces.append(piece)

    def _wait(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            try:
                writing.result()
            finally:
                del writing  # an error of its leads here: in a circle they would keep files open


def _write_pieces(output: FileOutput, pieces: list[Piece]) -> None:
    small: list[bytes | memoryview] = []
    for piece in pieces:
        if piece.stop - piece.start < SMALL:
            small.append(piece.read())
            continue
        _write_joined(output, small)
        small = []
        if isinstance(piece.source, LocalShard):
            output.copy(piece.source.descriptor, piece.start, piece.stop)
        else:
            output.write(piece.read())
    _write_joined(output, small)


def _write_joined(output: Output, pieces: list[bytes | memoryview]) -> None:
    if pieces:
        output.write(b"".join(pieces))
