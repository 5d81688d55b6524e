"""Objects that a `FaultServer` serves: from memory, made of repeated pieces, or from files."""

from __future__ import annotations

import os
import zlib
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO, Protocol

Buffer = bytes | memoryview


class Content(Protocol):
    """The bytes of one object. `file` is where they can be sent from without being read."""

    size: int
    etag: str
    file: BinaryIO | None

    def read(self, start: int, stop: int) -> Buffer:
        """Bytes [start, stop), which lie within the object."""
        ...

    def close(self) -> None: ...


class Pieces:
    """An object in memory made of pieces in order; one piece may stand there many times, so large objects can be small."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = [memoryview(piece) for piece in pieces]
        self._ends = list(accumulate(map(len, pieces)))
        self.size = self._ends[-1] if self._ends else 0
        self.file: BinaryIO | None = None
        check = 0
        for piece in pieces:
            check = zlib.crc32(piece, check)
        self.etag = f'"{self.size:x}-{check:08x}"'

    def read(self, start: int, stop: int) -> Buffer:
        found = []
        index = bisect_right(self._ends, start)
        while start < stop:
            offset = start - (self._ends[index] - len(self._pieces[index]))
            found.append(self._pieces[index][offset : offset + stop - start])
            start += len(found[-1])
            index += 1
        return found[0] if len(found) == 1 else b"".join(found)

    def close(self) -> None:
        pass


class OpenFile:
    """A file; its ETag is made of modification time and size."""

    def __init__(self, path: Path) -> None:
        self.file: BinaryIO | None = path.open("rb")
        self._descriptor = self.file.fileno()
        status = os.fstat(self._descriptor)
        self.size = status.st_size
        self.etag = f'"{status.st_mtime_ns:x}-{status.st_size:x}"'

    def read(self, start: int, stop: int) -> Buffer:
        return os.pread(self._descriptor, stop - start, start)

    def close(self) -> None:
        assert self.file is not None
        self.file.close()


class Store(Protocol):
    """Objects by name."""

    def find(self, name: str) -> Content | None: ...

    def put(self, name: str, data: bytes | Sequence[bytes]) -> None: ...


class MemoryStore:
    """Objects in memory: bytes, or a sequence of pieces."""

    def __init__(self, objects: Mapping[str, bytes | Sequence[bytes]]) -> None:
        self._contents: dict[str, Content] = {}
        for name, data in objects.items():
            self.put(name, data)

    def find(self, name: str) -> Content | None:
        return self._contents.get(name)

    def put(self, name: str, data: bytes | Sequence[bytes]) -> None:
        self._contents[name] = Pieces([data] if isinstance(data, bytes) else data)


class FolderStore:
    """The files below a folder; a name cannot lead out of it."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = Path(folder).resolve()

    def find(self, name: str) -> Content | None:
        path = self._path(name)
        return OpenFile(path) if path is not None and path.is_file() else None

    def put(self, name: str, data: bytes | Sequence[bytes]) -> None:
        path = self._path(name)
        if path is None:
            raise ValueError(f"{name!r} is not below the served folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else b"".join(data))

    def _path(self, name: str) -> Path | None:
        path = (self._folder / name).resolve()
        return path if path.is_relative_to(self._folder) else None
