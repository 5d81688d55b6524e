"""One archive of raw samples on its way to its target. It is there whole, or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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
from asyncwds.writer.archive import CHUNK, Archive
from asyncwds.writer.entries import Entry

if TYPE_CHECKING:
    from concurrent.futures import Future

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

    Between local files that are not compressed the kernel copies, and nothing is read but headers.
    """

    def __init__(self, url: str, access: Access, pool: BlockingPool, *, hashed: bool) -> None:
        self._output = open_target(url, access)
        self._archive = Archive(suffix_to_write(None, url.partition("?")[0]), hashed=hashed, check_names=False)
        self._pool = pool
        self._copies = isinstance(self._output, FileOutput) and self._archive.is_quick
        self.is_remote = local_path(url) is None and scheme_of(url) not in ("-", "pipe")
        self._pieces: list[Piece] = []
        self._waiting = 0  # [bytes] of the pieces
        self._writing: Future[None] | None = None
        self.samples = 0
        self.position = 0  # [bytes] of the archive so far, before compression

    def size_with(self, nbytes: int) -> int:
        """Bytes of the archive, before compression, if it ended with so many more."""
        return size_with_end(self.position + nbytes)

    def append(self, item: RawSample | RawRun) -> None:
        nbytes = item.nbytes
        self.samples += number_of(item)
        self.position += nbytes
        if not self._copies:
            self._take(_small_pieces(item) if isinstance(item, RawRun) else _pieces_of(item))
            return
        for piece in (item.piece,) if isinstance(item, RawRun) else _pieces_of(item):
            self._add(piece)
        self._waiting += nbytes
        if self._waiting >= AT_A_TIME:
            self._flush()

    def commit(self) -> Written:
        """Makes it visible under its name."""
        if self._copies:
            end = ending(self.position)
            self._add(Piece(end, 0, len(end)))
            self._flush()
            self._wait()
            nbytes = size_with_end(self.position)
        else:
            self._write(self._archive.finish())
            nbytes = self._archive.taken
        self._output.commit()
        return Written(self.samples, nbytes, self._archive.sha256)

    def abort(self) -> None:
        """Drops it. Idempotent; does nothing after `commit`."""
        if self._writing is not None:
            self._writing.cancel()
            if not self._writing.cancelled():
                self._writing.exception()  # waits
            self._writing = None
        self._output.abort()

    def _take(self, pieces: Iterable[Piece]) -> None:
        """Reads them, and writes what there is whenever it is enough."""
        for piece in pieces:
            data = bytes(piece.read())
            self._archive.append(Entry(None, [data], len(data), 0, [], []))
            if self._archive.is_full:
                self._write(self._archive.take())

    def _add(self, piece: Piece) -> None:
        last = self._pieces[-1] if self._pieces else None
        if last is not None and last.source is piece.source and last.stop == piece.start:
            self._pieces[-1] = Piece(last.source, last.start, piece.stop)
        else:
            self._pieces.append(piece)

    def _flush(self) -> None:
        self._wait()
        assert isinstance(self._output, FileOutput)
        self._writing = self._pool.submit(_write_pieces, self._output, self._pieces)
        self._pieces, self._waiting = [], 0

    def _wait(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def _write(self, chunks: Iterable[bytes]) -> None:
        for chunk in chunks:
            self._output.write(chunk)


def _pieces_of(sample: RawSample) -> Iterator[Piece]:
    return (piece for member in sample.members for piece in member.pieces)


def _small_pieces(run: RawRun) -> Iterator[Piece]:
    """Of which each may be held in memory."""
    piece, nbytes = run.piece, run.nbytes
    return (piece.cut(start, min(start + CHUNK, nbytes)) for start in range(0, nbytes, CHUNK))


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
