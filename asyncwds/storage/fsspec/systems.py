"""fsspec's file systems, which block, in threads; their errors in our words."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar

from asyncwds.errors import AccessError, FetchError, FetchTimeoutError, NotFoundError, SpecError, redact
from asyncwds.runtime.blocking import BlockingPool
from asyncwds.runtime.extras import require_extra
from asyncwds.runtime.units import MiB
from asyncwds.storage.fsspec.scheme import FileSystem

if TYPE_CHECKING:
    from concurrent.futures import Future

T = TypeVar("T")
STREAM_PIECE = MiB


class Systems:
    """Threads, and file systems for them: no two use the same object at a time, since many are not made for that."""

    def __init__(self, settings: FileSystem) -> None:
        self._options = settings.options
        self._free: dict[str, list[Any]] = {}
        self.threads = BlockingPool("fsspec", settings.threads)

    async def run(self, url: str, offset: int, work: Callable[..., T], *arguments: Any) -> T:
        """What `work(file system, path, *arguments)` returns, in a thread. Raises our error for what it raises."""
        return await _wait_for(self.threads.submit(self._with_a_system, url, work, arguments), url, offset)

    def make(self, url: str) -> tuple[Any, str]:
        """A file system of its own, and the path. In a thread: it may connect."""
        found: tuple[Any, str] = require_extra("fsspec.core", "fsspec").url_to_fs(url, skip_instance_cache=True, **self._options)
        return found

    def close(self) -> None:
        """Waits for what is under way."""
        self.threads.close(drop_waiting=True)
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


class OpenFile:
    """An open file, read from its beginning. A read cannot be cancelled, and the file must not be closed under it."""

    def __init__(self, systems: Systems, url: str) -> None:
        self._systems = systems
        self._url = url
        self._position = 0
        self._system: Any = None
        self._file: Any = None
        self._last: Future[bytes] | None = None

    async def read(self) -> bytes:
        self._last = self._systems.threads.submit(self._read)
        piece = await _wait_for(self._last, self._url, self._position)
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


async def _wait_for(work: Future[T], url: str, offset: int) -> T:
    try:
        return await asyncio.wrap_future(work)
    except Exception as error:
        raise _translate(error, url, offset) from error


def _disconnect(system: Any) -> None:
    """fsspec has no word for it: it leaves connections, and the threads of some, to the garbage collector."""
    for name in ("ftp", "client"):
        with suppress(Exception):
            getattr(system, name).close()


def _translate(error: Exception, url: str, offset: int) -> FetchError | SpecError:
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
