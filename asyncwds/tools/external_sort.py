"""Samples in the order of values of theirs, in bounded memory: sorted runs in a folder, then merged.

Samples of local shards stay where they are, and a run has their places only. Others are held until a run is full, and written to a
file in its order, so that the merge reads each run from its beginning to its end.
"""

from __future__ import annotations

import heapq
import marshal
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from asyncwds.tar.raw import Piece, RawMember, RawSample
from asyncwds.tools.local import LocalShard

RECORD = 1000
"""About how much memory [bytes] a sample takes in a run, besides its members' bytes."""
OPEN_FILES = 128

_Record = tuple[Any, ...]
"""What is kept of a sample: (value, key, url, shard, ordinal, offset, members), with the path of a file for each piece."""


def sort_raw(
    samples: Iterable[RawSample],
    value: Callable[[RawSample], Any],
    *,
    memory: int,
    reverse: bool = False,
    folder: str | None = None,
) -> Iterator[RawSample]:
    """The samples in the order of `value`, those with the same one in the order in which they came.

    memory   bound [bytes] of the samples of a run
    folder   where the runs are kept meanwhile; None is the system's place for temporary files

    Values are all of one kind: numbers, text, or tuples of these. Raises FetchError where a run cannot be kept.
    """
    with TemporaryDirectory(prefix="asyncwds-sort-", dir=folder) as kept:
        runs = _Runs(Path(kept), memory, reverse=reverse)
        for sample in samples:
            runs.add(value(sample), sample)
        files = _Files()
        for record in heapq.merge(*runs.finish(), key=itemgetter(0), reverse=reverse):
            yield _restored(record, files)


class _Held(NamedTuple):
    value: Any
    sample: RawSample


class _Runs:
    """Makes runs of samples as they come."""

    def __init__(self, folder: Path, memory: int, *, reverse: bool) -> None:
        self._folder = folder
        self._memory = memory
        self._reverse = reverse
        self._held: list[_Held] = []
        self._nbytes = 0
        self._written: list[Path] = []

    def add(self, value: Any, sample: RawSample) -> None:
        if any(isinstance(piece.source, bytes) for member in sample.members for piece in member.pieces):
            sample = _detached(sample)
            self._nbytes += sample.nbytes
        self._nbytes += RECORD
        self._held.append(_Held(value, sample))
        if self._nbytes >= self._memory:
            self._write()

    def finish(self) -> list[Iterator[_Record]]:
        """Each run in order."""
        if self._held:
            self._write()
        return [_read(path) for path in self._written]

    def _write(self) -> None:
        self._held.sort(key=itemgetter(0), reverse=self._reverse)  # stable
        number = len(self._written)
        bodies, records = self._folder / f"{number}.bodies", self._folder / f"{number}.records"
        with bodies.open("wb") as spool, records.open("wb") as file:
            position = 0
            for value, sample in self._held:
                members, position = _spooled(sample, str(bodies), spool.write, position)
                marshal.dump((value, *sample[:5], members), file)
        self._written.append(records)
        self._held, self._nbytes = [], 0


def _detached(sample: RawSample) -> RawSample:
    """With bytes of its own, and not a part of a chunk that would be kept whole."""
    members = []
    for member in sample.members:
        data = b"".join([piece.read() for piece in member.pieces])
        members.append(member._replace(pieces=(Piece(data, 0, len(data)),)))
    return sample._replace(members=tuple(members))


def _spooled(sample: RawSample, bodies: str, write: Callable[[Any], object], position: int) -> tuple[list[Any], int]:
    """The members with places in files, and where in the file of bodies the next one goes."""
    members = []
    for member in sample.members:
        pieces = []
        for source, start, stop in member.pieces:
            if isinstance(source, LocalShard):
                pieces.append((source.path, start, stop))
                continue
            assert isinstance(source, bytes)
            write(memoryview(source)[start:stop])
            pieces.append((bodies, position, position + stop - start))
            position += stop - start
        members.append((*member[:5], pieces))
    return members, position


def _read(path: Path) -> Iterator[_Record]:
    with path.open("rb") as file:
        while True:
            try:
                record = marshal.load(file)  # noqa: S302 - it was written by this process, to a folder of its own
            except EOFError:
                return
            yield record


class _Files:
    """Files that are read from, of which only so many are open."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, LocalShard] = OrderedDict()

    def __call__(self, path: str) -> LocalShard:
        if path in self._open:
            self._open.move_to_end(path)
            return self._open[path]
        if len(self._open) >= OPEN_FILES:
            self._open.popitem(last=False)
        self._open[path] = LocalShard(path, path)
        return self._open[path]


def _restored(record: _Record, files: _Files) -> RawSample:
    _, key, url, shard, ordinal, offset, members = record
    restored = [
        RawMember(name, field, size, head, stored, tuple(Piece(files(path), start, stop) for path, start, stop in pieces))
        for name, field, size, head, stored, pieces in members
    ]
    return RawSample(key, url, shard, ordinal, offset, tuple(restored))
