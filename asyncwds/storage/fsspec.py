"""Any other scheme (`sftp://`, `hdfs://`, `memory://`, …): fsspec's file systems, in threads. Needs the extra `fsspec`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager, suppress
from itertools import chain
from typing import Any, NamedTuple, TypeVar

from asyncwds.errors import (
    AccessError,
    ChangedError,
    FetchError,
    FetchTimeoutError,
    NotFoundError,
    ShortBodyError,
    SpecError,
    redact,
)
from asyncwds.extras import needed
from asyncwds.model import MiB
from asyncwds.settings import FileSystem
from asyncwds.stats import Counters
from asyncwds.storage.base import Answer
from asyncwds.storage.body import ChunkBody

T = TypeVar("T")
PIECE = 8 * MiB
"""So much is asked for at a time: a part, since each may be a request of its own."""
STREAM_PIECE = MiB
# Of what file systems tell about a file, what changes with its bytes. Not all of it: times of access are there too.
_TELLING = (
    "etag", "ETag", "checksum", "md5", "md5Hash", "content_md5", "generation", "version_id",
    "mtime", "modified", "modificationTime", "LastModified", "last_modified", "updated", "created",
)  # fmt: skip


class FsspecFetcher:
    """Ranges of files that tell their size; others are streams. The time limits are those of the file system."""

    def __init__(self, settings: FileSystem, counters: Counters) -> None:
        self._systems = _Systems(settings)
        self._counters = counters

    @asynccontextmanager
    async def open(
        self,
        url: str,
        start: int = 0,
        stop: int | None = None,
        identity: str | None = None,
        *,
        buffer: memoryview | None = None,
    ) -> AsyncGenerator[ChunkBody, None]:
        del buffer
        self._counters.requests += 1
        size, current = await self._systems.run(url, start, _look)
        if identity not in (None, current):
            raise ChangedError("the file was replaced or written to while it was read", url=url, offset=start)
        if size is None:
            answer, chunks = Answer(0, None, current, ranged=False), self._stream(url)
        else:
            end = size if stop is None else min(stop, size)
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
        file = _Open(self._systems, url)
        try:
            while piece := await file.read():
                self._counters.bytes += len(piece)
                yield piece
        finally:
            file.close()


class FsspecSite:
    """Lists files. The transport is none of its business."""

    def __init__(self, settings: FileSystem, transport: object = None) -> None:
        del transport
        self._systems = _Systems(settings)

    async def list(self, prefix: str, *, deep: bool) -> AsyncIterator[str]:
        folder = prefix[: prefix.rindex("/") + 1]
        for name in await self._systems.run(folder, 0, _names, deep):
            if (folder + name).startswith(prefix):
                yield folder + name

    async def aclose(self) -> None:
        self._systems.close()


class _Systems:
    """Threads, and file systems for them: no two use the same object at a time, since many are not made for that."""

    def __init__(self, settings: FileSystem) -> None:
        self._options = settings.options
        self._free: dict[str, list[Any]] = {}
        self.threads = ThreadPoolExecutor(settings.threads, thread_name_prefix="asyncwds-fsspec")

    async def run(self, url: str, offset: int, work: Callable[..., T], *arguments: Any) -> T:
        """What `work(file system, path, *arguments)` returns, in a thread. Raises our error for what it raises."""
        return await waited(self.threads.submit(self._with_a_system, url, work, arguments), url, offset)

    def make(self, url: str) -> tuple[Any, str]:
        """A file system of its own, and the path. In a thread: it may connect."""
        found: tuple[Any, str] = needed("fsspec.core", "fsspec").url_to_fs(url, skip_instance_cache=True, **self._options)
        return found

    def close(self) -> None:
        """Waits for what is under way; left alone, the threads would outlive the loop."""
        self.threads.shutdown(wait=True, cancel_futures=True)
        for system in chain.from_iterable(self._free.values()):
            _disconnect(system)
        self._free.clear()

    def _with_a_system(self, url: str, work: Callable[..., T], arguments: tuple[Any, ...]) -> T:
        scheme, _, rest = url.partition("://")
        free = self._free.setdefault(f"{scheme}://{rest.partition('/')[0]}", [])
        try:
            system = free.pop()
        except IndexError:
            system, path = self.make(url)
        else:
            path = system._strip_protocol(url)  # noqa: SLF001 - as fsspec itself does it; there is no public way
        try:
            done = work(system, path, *arguments)
        except (FileNotFoundError, PermissionError):
            free.append(system)
            raise
        except BaseException:
            _disconnect(system)  # its connection may be broken
            raise
        free.append(system)
        return done


class _Open:
    """An open file, read from its beginning. A read cannot be cancelled, and the file must not be closed under it."""

    def __init__(self, systems: _Systems, url: str) -> None:
        self._systems = systems
        self._url = url
        self._position = 0
        self._system: Any = None
        self._file: Any = None
        self._last: Future[bytes] | None = None

    async def read(self) -> bytes:
        self._last = self._systems.threads.submit(self._read)
        piece = await waited(self._last, self._url, self._position)
        self._position += len(piece)
        return piece

    def close(self) -> None:
        if self._last is not None:
            self._last.add_done_callback(self._close)

    def _read(self) -> bytes:
        if self._file is None:
            self._system, path = self._systems.make(self._url)
            self._file = self._system.open(path, "rb")
        piece: bytes = self._file.read(STREAM_PIECE)
        return piece

    def _close(self, _: Future[bytes]) -> None:
        if self._file is not None:
            with suppress(Exception):  # nobody misses what a broken connection cannot do any more
                self._file.close()
        if self._system is not None:
            _disconnect(self._system)


async def waited(work: Future[T], url: str, offset: int) -> T:
    try:
        return await asyncio.wrap_future(work)
    except Exception as error:
        raise _translated(error, url, offset) from error


def knows(scheme: str) -> bool:
    """Whether fsspec is installed and has a file system of this name, with the libraries that it wants."""
    try:
        needed("fsspec.registry", "fsspec").get_filesystem_class(scheme)
    except (SpecError, ImportError, ValueError):
        return False
    return True


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
    base = needed("fsspec.spec", "fsspec").AbstractFileSystem
    # What all inherit opens a file object, which would read ahead, for nothing.
    options = {"cache_type": "none"} if type(system).cat_file is base.cat_file else {}
    piece: bytes = system.cat_file(path, begin, end, **options)
    return piece


def _names(system: Any, path: str, deep: bool) -> list[str]:
    """What is below a folder, from there on; of folders with a slash at the end."""
    system.invalidate_cache(path)
    found = system.find(path, detail=True).values() if deep else system.ls(path, detail=True)
    skip = len(path.rstrip("/")) + 1
    return [entry["name"][skip:].rstrip("/") + ("/" if entry["type"] == "directory" else "") for entry in found]


def _disconnect(system: Any) -> None:
    """fsspec has no word for it: it leaves connections, and the threads of some, to the garbage collector."""
    for name in ("ftp", "client"):
        with suppress(Exception):
            getattr(system, name).close()


def _translated(error: Exception, url: str, offset: int) -> FetchError | SpecError:
    message = f"{type(error).__name__}: {redact(str(error))}".rstrip(": ")
    match error:
        case SpecError():
            return error
        case ImportError():
            return SpecError(f"this file system wants a library: {message}", url=url)
        case ValueError() | TypeError() | NotImplementedError():
            return SpecError(f"the file system does not take these options or this url: {message}", url=url)
    kind, retryable = _kind(error)
    return kind(message, url=url, offset=offset, retryable=retryable)


def _kind(error: Exception) -> tuple[type[FetchError], bool]:
    """And whether another try may help."""
    match error:
        case FileNotFoundError() | NotADirectoryError():
            return NotFoundError, False
        case IsADirectoryError():
            return FetchError, False
        case TimeoutError():
            return FetchTimeoutError, True
    if isinstance(error, PermissionError) or "Auth" in type(error).__name__:
        return AccessError, False
    return FetchError, isinstance(error, OSError | EOFError)
