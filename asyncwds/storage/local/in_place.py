"""Local files that are there under their name from the first byte on, as WebDataset's writers write them."""

from __future__ import annotations

import os
import weakref
from contextlib import suppress

from asyncwds.errors import SpecError
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
