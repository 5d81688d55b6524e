"""Headers of local shards, many at a time: a hand-over to another thread for each of them takes five times as long as it does."""

from __future__ import annotations

import os
from time import monotonic

from asyncwds.compression.decompress import DETECTED_BY, detect
from asyncwds.engine.contents import Contents
from asyncwds.engine.opener_table import path_read_in_place
from asyncwds.errors import ChangedError, ShortBodyError, WdsError
from asyncwds.runtime.counters import Counters
from asyncwds.storage.base import Answer
from asyncwds.storage.local.file import file_identity
from asyncwds.storage.local.readiness import translate_os_error

AT_A_TIME = 0.05  # [s]: whoever gives up waits no longer


class LocalContents:
    """Reads what a local shard contains, by calls that block. To be closed."""

    def __init__(self, contents: Contents, counters: Counters) -> None:
        self._contents = contents
        self._counters = counters
        self._url = contents.shard.url
        self._descriptor: int | None = None
        self._size = 0  # [bytes]
        self._identity = ""

    def open(self) -> bool:
        """Whether it can be read so: not what is elsewhere, compressed, no regular file, or fails. That has to be fetched."""
        path = path_read_in_place(self._url)
        if path is None:
            return False
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            status = os.fstat(self._descriptor)
            packed = detect(os.pread(self._descriptor, DETECTED_BY, 0)) is not None
        except OSError:
            return False
        self._size, self._identity = status.st_size, file_identity(status)
        return not packed

    def read_some(self) -> bool:
        """Returns whether it was the last of it."""
        until = monotonic() + AT_A_TIME
        try:
            while monotonic() < until:
                if self._read_range():
                    return True
        except WdsError as error:
            self._contents.fail(error)
            return True
        return False

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)

    def _read_range(self) -> bool:
        contents, size = self._contents, self._size
        assert self._descriptor is not None
        while contents.position < (stop := min(contents.stop, size)):
            contents.take(self._read(self._descriptor, contents.position, stop), size)
            if contents.failed:
                return True
        if file_identity(os.fstat(self._descriptor)) != self._identity:
            message = "the file was replaced or written to while it was read"
            raise ChangedError(message, url=self._url, offset=contents.position)
        contents.answer = Answer(contents.position, size, self._identity, ranged=True)
        if contents.position < size:
            contents.move_on(size)
            return False
        contents.finish(size)
        return True

    def _read(self, descriptor: int, start: int, stop: int) -> bytes:
        try:
            data = os.pread(descriptor, stop - start, start)
        except OSError as error:
            raise translate_os_error(error, self._url, start) from error
        if not data:
            message = f"the file shrank while it was read: {stop - start} bytes are missing"
            raise ShortBodyError(message, url=self._url, offset=start)
        self._counters.bytes += len(data)
        self._counters.local += len(data)
        return data
