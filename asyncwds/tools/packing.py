"""Raw samples that are compressed or hashed, or written elsewhere than to a file: they are read, and written in chunks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from asyncwds.storage.local.output import Output
from asyncwds.tar.raw import Piece, RawSample
from asyncwds.tar.raw_runs import RawRun
from asyncwds.writer.archive import CHUNK, Archive
from asyncwds.writer.entries import Entry


class Packing:
    """An archive on its way into an output."""

    def __init__(self, output: Output, kind: str | None, *, hashed: bool) -> None:
        self._output = output
        self._archive = Archive(kind, hashed=hashed, check_names=False)

    @property
    def nbytes(self) -> int:
        """Bytes that were written so far."""
        return self._archive.taken

    @property
    def sha256(self) -> str | None:
        """Of them, if it was asked for."""
        return self._archive.sha256

    def append(self, item: RawSample | RawRun) -> None:
        for piece in _small_pieces(item) if isinstance(item, RawRun) else item.pieces():
            data = bytes(piece.read())
            self._archive.append(Entry(None, [data], len(data), 0, [], []))
            if self._archive.is_full:
                self._write(self._archive.take())

    def finish(self, end: bytes) -> None:
        del end  # the archive has it
        self._write(self._archive.finish())

    def abort(self) -> None:
        """Nothing is under way between two calls."""

    def _write(self, chunks: Iterable[bytes]) -> None:
        for chunk in chunks:
            self._output.write(chunk)


def _small_pieces(run: RawRun) -> Iterator[Piece]:
    """Of which each may be held in memory."""
    piece, nbytes = run.piece, run.nbytes
    return (piece.cut(start, min(start + CHUNK, nbytes)) for start in range(0, nbytes, CHUNK))
