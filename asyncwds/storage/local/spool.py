"""A temporary file that is written at its end while it is read from its beginning."""

from __future__ import annotations

import asyncio
import os
import tempfile

from asyncwds.runtime.blocking import BlockingPool
from asyncwds.runtime.units import KiB
from asyncwds.storage.local.readiness import translate_os_error

PIECE = 256 * KiB


class Spool:
    """Keeps the bytes of an upload until it has succeeded, so that it can be made again. `thread` has a single thread.

    Without a name in any folder: nothing of it is left, however this process ends. Raises FetchError where the disk is full.
    """

    def __init__(self, url: str, thread: BlockingPool) -> None:
        self._url = url
        self._thread = thread
        self._grown = asyncio.Event()
        self.size = 0
        self.finished = False
        try:
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed by `close`
        except OSError as error:
            raise translate_os_error(error, url) from error

    async def append(self, data: bytes) -> None:
        try:
            await self._thread.run(self._write, data)
        except OSError as error:
            raise translate_os_error(error, self._url, self.size) from error
        self.size += len(data)
        self._grown.set()

    def finish(self) -> None:
        """There will be no more."""
        self.finished = True
        self._grown.set()

    async def piece(self, position: int) -> bytes:
        """Bytes from `position`; at the present end it waits for more. b"" at the end, once there will be no more."""
        while position == self.size and not self.finished:
            self._grown.clear()
            await self._grown.wait()
        size = min(PIECE, self.size - position)
        return await self._thread.run(os.pread, self._file.fileno(), size, position) if size else b""

    def close(self) -> None:
        self._file.close()

    def _write(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            left = left[os.write(self._file.fileno(), left) :]
