"""A stage that keeps what passed through it in an LMDB database, for later runs too.

A pass writes to a database of its own, which becomes the cache, in one step, when the pass is complete. So a cache that is there is
whole and never changes, and readers need no locks. Databases are open for one chunk at a time and never while samples are
given out: nothing stays open when an iterator is dropped, or crosses a fork.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from importlib import import_module
from os import PathLike, fspath
from pathlib import Path
from shutil import rmtree
from types import ModuleType
from typing import Any
from uuid import uuid4

from asyncwds import checks
from asyncwds.codecs.field_loaders import unpickle_loads
from asyncwds.errors import CacheError, DecodeError, SpecError
from asyncwds.formatting.texts import show_value
from asyncwds.pipeline.context import RunContext, StageStream
from asyncwds.pipeline.protocol import Stream
from asyncwds.pipeline.stage import PipelineStage
from asyncwds.runtime.security import secure_mode
from asyncwds.runtime.units import MiB
from asyncwds.runtime.worker_info import WorkerInfo

COMPLETE = b"_"  # the key that marks a complete cache, WebDataset's
CHUNK_BYTES = 16 * MiB  # a chunk is no larger, whatever its number of samples
PATIENCE = 10.0  # [s] that a thread waits for another one to close the same database

Row = tuple[bytes, bytes]


class Chunk:
    """Rows that are read or written at once: a number of them, or `CHUNK_BYTES`."""

    def __init__(self, size: int) -> None:
        self.rows: list[Row] = []
        self._free = size
        self._free_bytes = CHUNK_BYTES

    def add(self, key: bytes, data: bytes) -> None:
        self.rows.append((key, data))
        self._free -= 1
        self._free_bytes -= len(data)

    def is_full(self) -> bool:
        return self._free <= 0 or self._free_bytes <= 0


@dataclass(frozen=True)
class LMDBCached(PipelineStage):
    """Keeps the samples of a complete pass in the folder `fname`, and gives them in all later ones, in the same order.

    map_size    upper bound of the database [bytes]
    pickler     a module or object with `dumps` and `loads`; by default pickles of plain data, arrays and tensors alone
    chunksize   samples that are written or read at once

    A pass that was left early keeps nothing. In a dataset with several places (ranks, workers) each has a folder of its own, with
    the place in its name. Caches that WebDataset has completed are read. Raises CacheError if the database cannot be
    written or read, and SpecError without the extra `lmdb`, and in the secure mode, as unpickling can run any code. Samples
    with other objects are a DecodeError, already when they are written; `pickler=pickle` takes them all, and runs what code is in
    a cache that somebody else has written.
    """

    fname: str | PathLike[str]
    map_size: float = 1e12
    pickler: Any = None
    chunksize: int = 500
    place: WorkerInfo = WorkerInfo()  # noqa: RUF009 - frozen

    def __post_init__(self) -> None:
        checks.path("LMDBCached: fname", self.fname)
        checks.real("LMDBCached: map_size", self.map_size, above=0)
        checks.whole("LMDBCached: chunksize", self.chunksize, 1)
        if self.pickler is not None and not hasattr(self.pickler, "dumps") and not hasattr(self.pickler, "loads"):
            raise SpecError(f"LMDBCached: pickler must have dumps and loads, as pickle has, not {show_value(self.pickler)}")

    def run(self, src: Iterable[Any]) -> Iterator[Any]:
        return self._replayed() if self.is_complete() else self._recorded(src)

    def is_complete(self) -> bool:
        """Whether a pass at this place was complete: then the source is not needed."""
        _require_trust()
        if not (self._path / "data.mdb").exists():
            return False
        with _transaction(self._path, self.map_size) as transaction:
            return transaction.get(COMPLETE) is not None

    def add_samples(self, samples: Iterable[tuple[str, Any]]) -> None:
        """Writes samples under keys, in whose order a pass gives them, once there is one with the key "_" that marks the end."""
        _require_trust()
        _write(self._path, self.map_size, [(key.encode(), self._dumps(sample)) for key, sample in samples])

    def open(self, source: Stream, context: RunContext) -> Stream:
        return StageStream(lambda: self._at(context.worker_info).run(source), source)

    def replays(self, context: RunContext) -> bool:
        return self._at(context.worker_info).is_complete()

    def made_in(self, context: RunContext) -> int | None:  # noqa: ARG002 - the protocol
        """It may have been made long ago."""
        return None

    def _at(self, place: WorkerInfo) -> LMDBCached:
        return replace(self, place=place)

    @property
    def _path(self) -> Path:
        place = self.place
        if place.world_size == place.num_workers == 1:
            return Path(self.fname)
        return Path(f"{fspath(self.fname)}.rank{place.rank}of{place.world_size}.worker{place.worker}of{place.num_workers}")

    def _recorded(self, src: Iterable[Any]) -> Iterator[Any]:
        part = Path(f"{self._path}.{uuid4().hex}.part")
        chunk = Chunk(self.chunksize)
        try:
            for number, sample in enumerate(src):
                # Pickled before later stages see the sample: they may change it.
                chunk.add(b"%012d" % number, self._dumps(sample))
                if chunk.is_full():
                    _write(part, self.map_size, chunk.rows)
                    chunk = Chunk(self.chunksize)
                yield sample
            _write(part, self.map_size, [*chunk.rows, (COMPLETE, b"1")])
            self._publish(part)
        finally:
            rmtree(part, ignore_errors=True)

    def _publish(self, part: Path) -> None:
        """The first pass that is complete counts. A folder without a complete cache gives way."""
        if self.is_complete():
            return
        try:
            with suppress(FileNotFoundError):
                self._path.rename(part.with_suffix(".replaced"))
            part.rename(self._path)
        except OSError as error:
            if not self.is_complete():
                raise CacheError(f"the cache {self._path} cannot be completed: {error}") from error
        finally:
            rmtree(part.with_suffix(".replaced"), ignore_errors=True)

    def _replayed(self) -> Iterator[Any]:
        start = b""
        while rows := _read(self._path, self.map_size, start, Chunk(self.chunksize)):
            start = rows[-1][0] + b"\0"
            for key, data in rows:
                if key != COMPLETE:
                    yield self._loads(data)

    def _dumps(self, sample: Any) -> Any:
        if self.pickler is not None:
            return self.pickler.dumps(sample)
        data = pickle.dumps(sample)
        self._loads(data)  # else the first run would end well, and each later one at its beginning
        return data

    def _loads(self, data: bytes) -> Any:
        if self.pickler is not None:
            return self.pickler.loads(data)
        try:
            return unpickle_loads(data)
        except DecodeError as error:
            raise DecodeError(f"LMDBCached (pickler=pickle takes any object): {error.message}") from error

    def __reduce__(self) -> tuple[Any, ...]:
        # A module cannot be pickled, its name can.
        pickler = self.pickler.__name__ if isinstance(self.pickler, ModuleType) else self.pickler
        return _restored, (self.fname, self.map_size, pickler, self.chunksize, self.place)


def _restored(fname: str, map_size: float, pickler: Any, chunksize: int, place: WorkerInfo) -> LMDBCached:
    return LMDBCached(fname, map_size, import_module(pickler) if isinstance(pickler, str) else pickler, chunksize, place)


def _require_trust() -> None:
    if secure_mode():
        raise SpecError("LMDBCached unpickles, which can run any code, and WDS_SECURE is set")


def _write(path: Path, map_size: float, rows: list[Row]) -> None:
    with _transaction(path, map_size, write=True) as transaction:
        for key, data in rows:
            transaction.put(key, data)


def _read(path: Path, map_size: float, start: bytes, chunk: Chunk) -> list[Row]:
    with _transaction(path, map_size) as transaction, transaction.cursor() as cursor:
        # LMDB has no empty keys.
        if cursor.set_range(start) if start else cursor.first():
            for key, data in cursor:
                chunk.add(key, data)
                if chunk.is_full():
                    break
    return chunk.rows


@contextmanager
def _transaction(path: Path, map_size: float, write: bool = False) -> Iterator[Any]:
    try:
        import lmdb  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise SpecError("LMDBCached needs lmdb: pip install 'asyncwds[lmdb]'") from error
    try:
        if write:
            path.mkdir(parents=True, exist_ok=True)
        # What is read is complete and does not change; what is written is ours alone.
        options = {"map_size": int(map_size), "readonly": not write, "lock": write}
        with _opened(lmdb, path, options) as database, database.begin(write=write) as transaction:
            yield transaction
    except (lmdb.Error, OSError) as error:
        raise CacheError(f"the cache {path} cannot be {'written' if write else 'read'}: {error}") from error


def _opened(lmdb: Any, path: Path, options: dict[str, Any]) -> Any:
    # LMDB opens a database once in a process. Another thread has it for as long as one chunk takes.
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return lmdb.open(str(path), **options)
        except lmdb.Error as error:
            if "already open" not in str(error) or time.monotonic() > until:
                raise
        time.sleep(0.001)
