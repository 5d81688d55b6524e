"""Where bytes go, for code that may block: `Output`, and local files.

An output becomes visible under its name with `commit`, as a whole; `abort` leaves nothing. The asynchronous counterpart is
`Sink`.
"""

from __future__ import annotations

import errno
import os
import stat
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Protocol, runtime_checkable

from asyncwds.errors import FetchError, NotFoundError, ShortBodyError, SpecError
from asyncwds.runtime.process import clean_up_undisturbed
from asyncwds.storage.local.readiness import translate_os_error

NAMELESS: int | None = getattr(os, "O_TMPFILE", None)
_COPIED = 64 << 20  # [bytes] that a file server copies at a time: Ctrl-C waits for it
_BUFFER = 1 << 20  # [bytes] that are read and written at a time: no more than fits into the cache of a core
_NO_COPY = frozenset({errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EBADF})  # between these files


class Output(Protocol):
    """One object that is written from its beginning to its end. All methods raise FetchError."""

    def write(self, data: bytes) -> None: ...

    def commit(self) -> None:
        """Makes what was written visible under its name. Nothing can be written after it."""
        ...

    def abort(self) -> None:
        """Drops what was written and frees everything. Idempotent; does nothing after `commit`."""
        ...


@runtime_checkable
class Killable(Protocol):
    """An output whose calls may hang."""

    def kill(self) -> None:
        """From another thread: makes a call that waits return."""
        ...


class FileOutput:
    """A local file. It has no name until `commit`: whatever ends the process leaves nothing of it. Where files must have one, as
    on network file systems, it is a temporary one in the same folder.

    A link is followed; what is there already and is no regular file (a FIFO, a device) is written to directly. Dropped without
    `commit`, and at the interpreter's end, it is aborted. There is no fsync: a renamed file survives the end of this process,
    but not that of the machine's power in the seconds after.
    """

    def __init__(self, url: str, path: str) -> None:
        self._url = url
        self._position = 0
        try:
            self._path = Path(path).resolve()
            self._descriptor, self._temporary = _open_temporary(path, self._path)
            self._nameless = self._temporary is not None and os.fstat(self._descriptor).st_nlink == 0
        except OSError as error:
            raise _not_opened(error, url, path) from error
        except ValueError as error:  # a zero byte, or a name that is empty
            raise SpecError(f"no usable path: {error}", url=url) from error
        self._aborted = weakref.finalize(self, _remove, self._descriptor, self._temporary, os.getpid())
        clean_up_undisturbed()

    def write(self, data: bytes | memoryview) -> None:
        left = memoryview(data)
        try:
            while left:
                written = os.write(self._descriptor, left)
                self._position += written
                left = left[written:]
        except OSError as error:
            raise translate_os_error(error, self._url, self._position) from error

    def copy(self, descriptor: int, start: int, stop: int) -> None:
        """Writes bytes [start, stop) of an open file: by the server, where both are on one. Raises ShortBodyError if that ends
        before.
        """
        try:
            copy = _copy_by_server if _may_be_on_server(descriptor, self._descriptor) else _copy_by_buffer
            if copy is _copy_by_buffer and self._temporary is not None:
                _reserve(self._descriptor, self._position, stop - start)
            while start < stop:
                copied = copy(descriptor, self._descriptor, start, stop - start)
                if not copied:
                    message = "a file became shorter while it was copied"
                    raise ShortBodyError(message, url=self._url, offset=self._position)
                start += copied
                self._position += copied
        except OSError as error:
            if isinstance(error, FetchError):
                raise
            raise translate_os_error(error, self._url, self._position) from error

    def commit(self) -> None:
        self._aborted.detach()
        try:
            try:
                if self._nameless and self._temporary is not None:
                    _give_name(self._descriptor, self._temporary)
            finally:
                os.close(self._descriptor)  # a full disk may show only here
            if self._temporary is not None:
                self._temporary.replace(self._path)
        except BaseException as error:  # Ctrl-C, too, may come between its names
            if self._temporary is not None:
                self._temporary.unlink(missing_ok=True)
            if isinstance(error, OSError):
                raise translate_os_error(error, self._url, self._position) from error
            raise

    def abort(self) -> None:
        self._aborted()


def _may_be_on_server(source: int, target: int) -> bool:
    """Whether these are files of one file system that is on no disk of this machine, as far as its number says it."""
    device = os.fstat(source).st_dev
    return os.major(device) == 0 and os.fstat(target).st_dev == device


def _copy_by_server(source: int, target: int, start: int, size: int) -> int:
    """Bytes that were copied to where `target` stands; 0 at the end of the source. They do not come to this machine, if the server
    can do without.
    """
    if hasattr(os, "copy_file_range"):
        try:
            return os.copy_file_range(source, target, min(size, _COPIED), offset_src=start)
        except OSError as error:
            if error.errno not in _NO_COPY:
                raise
    return _copy_by_buffer(source, target, start, size)


def _copy_by_buffer(source: int, target: int, start: int, size: int) -> int:
    """The same. What begins within a page the kernel would copy page by page: this takes 0.7 of the time."""
    return os.write(target, os.pread(source, min(size, _BUFFER), start))


def _reserve(descriptor: int, start: int, size: int) -> None:
    """Takes the room on the disk at once, and not for each page: writing takes 0.8 of the time then."""
    if hasattr(os, "posix_fallocate"):
        with suppress(OSError):  # what there is no room for is an error where it is written
            os.posix_fallocate(descriptor, start, size)


def _not_opened(error: OSError, url: str, path: str) -> FetchError:
    folder = Path(path).parent
    if isinstance(error, FileNotFoundError) and not folder.exists():
        return NotFoundError(f"there is no folder {str(folder)!r} to write to: make it first", url=url)
    return translate_os_error(error, url)


def _open_temporary(path: str, target: Path) -> tuple[int, Path | None]:
    """A descriptor to write to, and the temporary name that its file has or will get, unless it is the target itself."""
    if path.endswith(os.sep) or target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    if target.exists() and not stat.S_ISREG(target.stat().st_mode):
        return os.open(target, flags), None
    temporary = target.with_name(f".{target.name[:48]}.{os.urandom(4).hex()}.partial")
    descriptor = _nameless(target.parent)
    return (os.open(temporary, flags | os.O_EXCL, 0o666) if descriptor is None else descriptor), temporary


def _nameless(folder: Path) -> int | None:
    """A file of Linux's without a name, if the file system has such and it can be given one: by way of /proc."""
    if NAMELESS is None:
        return None
    try:
        descriptor = os.open(folder, os.O_WRONLY | NAMELESS | os.O_CLOEXEC, 0o666)
    except OSError:  # that there is no such folder, or no access, comes out where the name is needed
        return None
    if Path(f"/proc/self/fd/{descriptor}").exists():
        return descriptor
    os.close(descriptor)
    return None


def _give_name(descriptor: int, name: Path) -> None:
    root = os.open("/", os.O_RDONLY | os.O_CLOEXEC)  # with a folder Python asks for the link to be followed, and else does not
    try:
        os.link(f"proc/self/fd/{descriptor}", name, src_dir_fd=root)
    finally:
        os.close(root)


def _remove(descriptor: int, temporary: Path | None, pid: int) -> None:
    with suppress(OSError):
        os.close(descriptor)
    if temporary is not None and pid == os.getpid():  # to a forked child, the file is its parent's
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
