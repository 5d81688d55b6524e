"""Any other scheme (`sftp://`, `hdfs://`, `memory://`, …): fsspec's file systems, in threads. Needs the extra `fsspec`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any, NamedTuple

from asyncwds.errors import ChangedError, ShortBodyError
from asyncwds.runtime.counters import Counters
from asyncwds.runtime.extras import require_extra
from asyncwds.runtime.units import MiB
from asyncwds.storage.base import Answer, ChunkBody, ObjectRange
from asyncwds.storage.fsspec.scheme import FileSystem
from asyncwds.storage.fsspec.systems import OpenFile, Systems

PIECE = 8 * MiB
"""So much is asked for at a time: a part, since each may be a request of its own."""
# Of what file systems tell about a file, what changes with its bytes. Not all of it: times of access are there too.
_TELLING = (
    "etag", "ETag", "checksum", "md5", "md5Hash", "content_md5", "generation", "version_id",
    "mtime", "modified", "modificationTime", "LastModified", "last_modified", "updated", "created",
)  # fmt: skip


class FsspecFetcher:
    """Ranges of files that tell their size; others are streams. The time limits are those of the file system."""

    def __init__(self, settings: FileSystem, counters: Counters) -> None:
        self._systems = Systems(settings)
        self._counters = counters

    @asynccontextmanager
    async def open(self, wanted: ObjectRange, *, buffer: memoryview | None = None) -> AsyncGenerator[ChunkBody, None]:
        del buffer
        self._counters.requests += 1
        url, start = wanted.url, wanted.start
        size, current = await self._systems.run(url, start, _look)
        if wanted.identity not in (None, current):
            raise ChangedError("the file was replaced or written to while it was read", url=url, offset=start)
        if size is None:
            answer, chunks = Answer(0, None, current, ranged=False), self._stream(url)
        else:
            end = size if wanted.stop is None else min(wanted.stop, size)
            answer, chunks = Answer(start, size, current, ranged=True), self._range(url, start, end)
        async with aclosing(chunks):
            yield ChunkBody(answer, chunks)

    async def aclose(self) -> None:
        self._systems.close()

    async def _range(self, url: str, position: int, end: int) -> AsyncGenerator[bytes, None]:
        while position < end:
            wanted = min(position + PIECE, end)
            piece = await self._systems.run(url, position, _cat, position, wanted)
            position += len(piece)
            self._counters.bytes += len(piece)
            if piece:
                yield piece
            if position < wanted:
                message = f"the file system gave {wanted - position} bytes too few"
                raise ShortBodyError(message, url=url, offset=position, retryable=True)

    async def _stream(self, url: str) -> AsyncGenerator[bytes, None]:
        file = OpenFile(self._systems, url)
        try:
            while piece := await file.read():
                self._counters.bytes += len(piece)
                yield piece
        finally:
            file.close()


class FsspecLister:
    def __init__(self, settings: FileSystem) -> None:
        self._systems = Systems(settings)

    async def list(self, prefix: str, *, deep: bool) -> AsyncIterator[str]:
        folder = prefix[: prefix.rindex("/") + 1]
        for name in await self._systems.run(folder, 0, _names, deep):
            if (folder + name).startswith(prefix):
                yield folder + name

    async def aclose(self) -> None:
        self._systems.close()


class _Look(NamedTuple):
    """Size [bytes] and identity of a file, as far as it tells."""

    size: int | None
    identity: str | None


def _look(system: Any, path: str) -> _Look:
    system.invalidate_cache(path)
    info = system.info(path)
    if info.get("type") == "directory":
        raise IsADirectoryError("this is a folder")
    size = info.get("size")
    telling = [f"{name}={info[name]}" for name in _TELLING if info.get(name) is not None]
    return _Look(size, " ".join([f"size={size}", *telling]) if telling else None)


def _cat(system: Any, path: str, begin: int, end: int) -> bytes:
    base = require_extra("fsspec.spec", "fsspec").AbstractFileSystem
    # What all inherit opens a file object, which would read ahead, for nothing. Asynchronous ones get their own when they are made.
    inherited = getattr(system.cat_file, "__func__", None) is base.cat_file
    options = {"cache_type": "none"} if inherited else {}
    piece: bytes = system.cat_file(path, begin, end, **options)
    return piece


def _names(system: Any, path: str, deep: bool) -> list[str]:
    """What is below a folder, from there on; of folders with a slash at the end."""
    system.invalidate_cache(path)
    found = system.find(path, detail=True).values() if deep else system.ls(path, detail=True)
    skip = len(path.rstrip("/")) + 1
    return [entry["name"][skip:].rstrip("/") + ("/" if entry["type"] == "directory" else "") for entry in found]
