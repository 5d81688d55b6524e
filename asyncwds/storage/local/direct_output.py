"""Outputs that are written to directly: file objects, and local files that are there under their name from the first byte on, as
WebDataset's writers write them.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any

from asyncwds.errors import FetchError, SpecError, WdsError, redact
from asyncwds.storage.local.readiness import translate_os_error


class InPlaceOutput:
    """A local file that replaces what is there now, and may be read and renamed meanwhile. `abort` leaves what was written.

    `ending` is written behind the bytes each time, and overwritten by those that follow, so that the file is whole at any time.
    """

    def __init__(self, url: str, path: str, ending: bytes) -> None:
        self._url = url
        self._ending = ending
        self._position = 0
        try:
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise translate_os_error(error, url) from error
        except ValueError as error:  # a zero byte
            raise SpecError(f"no usable path: {error}", url=url) from error
        self._closed = weakref.finalize(self, _close, self._descriptor)

    def write(self, data: bytes) -> None:
        left = memoryview(data + self._ending)
        position = self._position
        try:
            while left:
                written = os.pwrite(self._descriptor, left, position)
                position += written
                left = left[written:]
        except OSError as error:
            raise translate_os_error(error, self._url, position) from error
        self._position += len(data)

    def commit(self) -> None:
        """The bytes are there already, and end the file: whoever calls it has written an ending of his own."""
        try:
            os.ftruncate(self._descriptor, self._position)
            self._closed.detach()
            os.close(self._descriptor)
        except OSError as error:
            raise translate_os_error(error, self._url, self._position) from error

    def abort(self) -> None:
        self._closed()


def _close(descriptor: int) -> None:
    with suppress(OSError):
        os.close(descriptor)


BUFSIZE = 8192  # [bytes] what WebDataset passes to openers


class StreamOutput:
    """A binary file object, to which `commit` and `abort` can do no more than flush or leave it; `close` says whose it is.

    Aborted, it holds an archive without its end mark, which readers refuse.
    """

    def __init__(self, stream: IO[bytes] | Any, url: str | None, *, close: bool) -> None:
        if not hasattr(stream, "write"):
            raise SpecError(f"what is written to is a path, a URL or a binary file, not {type(stream).__name__}")
        self._stream = stream
        self._url = url or str(getattr(stream, "name", "a file object"))
        self._close = close
        self._position = 0

    def write(self, data: bytes) -> None:
        left = data
        try:
            while left:
                # Raw files and sockets may take a part of it; objects that return nothing take all.
                written = self._stream.write(left)
                taken = len(left) if written is None else int(written)
                self._position += taken
                left = left[taken:]
        except OSError as error:
            raise translate_os_error(error, self._url, self._position) from error
        except (TypeError, ValueError) as error:  # a file for text, or a closed one
            raise SpecError(f"it cannot be written to: {error}", url=self._url) from error

    def commit(self) -> None:
        try:
            if self._close:
                self._stream.close()
            elif hasattr(self._stream, "flush"):
                self._stream.flush()
        except OSError as error:
            raise translate_os_error(error, self._url, self._position) from error

    def abort(self) -> None:
        if self._close:
            self.kill()
            with suppress(OSError, FetchError):  # a command that was killed fails
                self._stream.close()

    def kill(self) -> None:
        """Ends a command that is written to, which must not take what it got for all, and any call that waits for it."""
        if hasattr(self._stream, "kill"):
            self._stream.kill()


def open_with(url: str, opener: Callable[..., Any]) -> StreamOutput:
    """What `opener` returns for a url, to write to. Whatever it raises becomes a FetchError with that as its cause."""
    try:
        stream = opener(url, "wb", BUFSIZE)
    except WdsError as error:
        error.url = error.url or redact(url)
        raise
    except OSError as error:
        raise translate_os_error(error, url) from error
    except Exception as error:
        raise FetchError(f"{type(error).__name__}: {error}", url=url) from error
    return StreamOutput(stream, url, close=True)
