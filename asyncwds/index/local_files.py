"""Pieces of local shards, read where they are asked for: a hand-over to another thread would cost more than the reading."""

from __future__ import annotations

import os

from asyncwds.index.index import ShardIndex
from asyncwds.index.parsing import stale
from asyncwds.runtime.security import require_local
from asyncwds.storage.local.readiness import translate_os_error

MOST_OPEN = 64


class _File:
    """An open file, closed when nobody refers to it: a thread may read while another one has it dropped."""

    def __init__(self, path: str) -> None:
        self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.size = os.fstat(self.descriptor).st_size

    def __del__(self) -> None:
        if hasattr(self, "descriptor"):
            os.close(self.descriptor)


class LocalFiles:
    """The files that were opened last stay open."""

    def __init__(self) -> None:
        self._open: dict[str, _File] = {}

    def read(self, path: str, shard: ShardIndex, start: int, stop: int) -> bytes:
        """Bytes [start, stop), or up to the end. Raises StaleIndexError for a file of another size, FetchError where it fails."""
        try:
            file = self._open.get(path) or self._add(path)
        except OSError as error:
            raise translate_os_error(error, shard.url) from error
        if shard.size not in (None, file.size):
            raise stale(shard, None, f"{shard.size} bytes", f"{file.size} bytes")
        try:
            data = os.pread(file.descriptor, stop - start, start)
            while 0 < len(data) < stop - start and (more := os.pread(file.descriptor, stop - start - len(data), start + len(data))):
                data += more
        except OSError as error:
            raise translate_os_error(error, shard.url, start) from error
        return data

    def _add(self, path: str) -> _File:
        require_local("shards are not read from local files", path)
        if len(self._open) >= MOST_OPEN:
            del self._open[next(iter(self._open))]
        file = self._open[path] = _File(path)
        return file
