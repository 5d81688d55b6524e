"""Local files, read in threads. FIFOs and devices are streams."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from asyncwds.errors import ChangedError, FetchError, ShortBodyError, SpecError
from asyncwds.runtime.blocking import BlockingPool
from asyncwds.runtime.counters import Counters
from asyncwds.runtime.event_loop import run_to_completion
from asyncwds.runtime.units import MiB
from asyncwds.shards.urls import local_path
from asyncwds.storage.base import Answer, ChunkBody, ObjectRange
from asyncwds.storage.local.readiness import read_when_ready, translate_os_error

if TYPE_CHECKING:
    from concurrent.futures import Future

# From the page cache, one file and one thread [CPU-s/GB]: 64 KiB 2.0, 256 KiB 0.8, 512 KiB 0.54, 1 MiB 0.45, 2 MiB 0.4, and
# with eight at once 2 MiB 0.69 against 0.52: the allocator no longer has such pieces ready.
PIECE = MiB
# Enough to keep a disk's queue or a network file system busy; threads start as they are needed.
THREADS = 8


class FileFetcher:
    """Plain paths and `file:` URLs. A regular file has ranges; its identity is its inode, size and modification time.

    Reads run in threads of its own, one piece ahead of what is consumed: into the buffer that is lent, or one of its own.
    """

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._threads = BlockingPool("file", THREADS)
        self._spare: list[memoryview] = []

    @asynccontextmanager
    async def open(self, wanted: ObjectRange, *, buffer: memoryview | None = None) -> AsyncGenerator[ChunkBody, None]:
        self._counters.requests += 1
        file = await self._open_file(wanted.url)
        memory = buffer
        try:
            answer = _answer(wanted, file.status)
            if answer.total is None:
                chunks = self._stream(wanted.url, file)
            else:
                span = wanted.start, _end(answer.total, wanted.stop)
                memory = self._memory(span[1] - span[0]) if buffer is None else buffer
                chunks = self._range(wanted.url, file, span, memory, lent=buffer is not None)
            async with aclosing(chunks):
                yield ChunkBody(answer, chunks)
        finally:
            file.close()
            if buffer is not None and file.is_reading:
                await run_to_completion(file.wait_for_read())
            elif buffer is None and memory is not None and len(memory) == PIECE and not file.is_reading:
                self._spare.append(memory)

    async def aclose(self) -> None:
        self._threads.close(drop_waiting=True)

    async def _open_file(self, url: str) -> _File:
        path = local_path(url)
        if path is None:
            raise SpecError("not a local path or file: URL", url=url)
        opening = self._threads.submit(_File, path, self._threads)
        try:
            return await asyncio.wrap_future(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close_unused)
            raise
        except OSError as error:
            raise translate_os_error(error, url) from error
        except ValueError as error:  # a zero byte in the name
            raise SpecError(f"no usable path: {error}", url=url) from error

    def _memory(self, size: int) -> memoryview:
        """Where pieces of so many bytes are read to that are then copied.

        Made in the threads, they would lie in the arenas that glibc gives each thread, and what is freed in there serves no
        other: 8 MB for each of 8 threads, and more with members of 20 MB. It is filled with zeros, which takes 0.3 ms for a whole
        piece: small files have their own.
        """
        if size < PIECE:
            return memoryview(bytearray(max(size, 0)))
        return self._spare.pop() if self._spare else memoryview(bytearray(PIECE))

    async def _range(
        self, url: str, file: _File, span: tuple[int, int], memory: memoryview, *, lent: bool
    ) -> AsyncGenerator[bytes | memoryview, None]:
        start, end = span
        position = start

        def place() -> memoryview:
            begin = position - start if lent else 0
            return memory[begin : begin + min(PIECE, end - position)]

        ahead = file.read(place(), position) if position < end else None
        while ahead is not None:
            try:
                size = await ahead
            except OSError as error:
                raise translate_os_error(error, url, position) from error
            if not size:
                raise ShortBodyError(
                    f"the file shrank while it was read: {end - position} bytes are missing", url=url, offset=position
                )
            piece = place()[:size]
            chunk = piece if lent else bytes(piece)
            position += size
            ahead = file.read(place(), position) if position < end else None
            self._counters.bytes += size
            self._counters.local += size
            yield chunk

    async def _stream(self, url: str, file: _File) -> AsyncGenerator[bytes | memoryview, None]:
        position = 0
        try:
            while chunk := await read_when_ready(file.descriptor):
                position += len(chunk)
                self._counters.bytes += len(chunk)
                self._counters.local += len(chunk)
                yield chunk
        except OSError as error:
            raise translate_os_error(error, url, position) from error


class _File:
    """An open file that is read in `threads`, one piece at a time. Made in a thread as well: opening may take long.

    A read cannot be cancelled, and its descriptor must not be closed under it: `close` leaves that to the last read.
    """

    def __init__(self, path: str, threads: BlockingPool) -> None:
        # Without O_NONBLOCK, opening a FIFO waits for its writer; for regular files the flag means nothing.
        self.descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self._threads = threads
        self._last: Future[int] | None = None
        try:
            self.status = os.fstat(self.descriptor)
            if stat.S_ISREG(self.status.st_mode) and hasattr(os, "posix_fadvise"):
                os.posix_fadvise(self.descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        except OSError:
            os.close(self.descriptor)
            raise

    @property
    def is_reading(self) -> bool:
        return self._last is not None and not self._last.done()

    def read(self, place: memoryview, position: int) -> asyncio.Future[int]:
        """Fills `place` from `position` on; the result is how far [bytes]."""
        self._last = self._threads.submit(os.preadv, self.descriptor, [place], position)
        return asyncio.wrap_future(self._last)

    async def wait_for_read(self) -> None:
        """For as long as one writes to memory that is not its own."""
        if self._last is not None:
            await asyncio.gather(asyncio.wrap_future(self._last), return_exceptions=True)

    def close(self) -> None:
        if self._last is None:
            os.close(self.descriptor)
        else:
            self._last.add_done_callback(partial(_close, self.descriptor))


def _close(descriptor: int, _: Future[int]) -> None:
    os.close(descriptor)


def _close_unused(opening: Future[_File]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()


def file_identity(status: os.stat_result) -> str:
    return f"{status.st_ino:x}-{status.st_size:x}-{status.st_mtime_ns:x}"


def _answer(wanted: ObjectRange, status: os.stat_result) -> Answer:
    if stat.S_ISDIR(status.st_mode):
        raise FetchError(os.strerror(errno.EISDIR), url=wanted.url)
    if not stat.S_ISREG(status.st_mode):
        return Answer(0, None, None, ranged=False)
    current = file_identity(status)
    if wanted.identity not in (None, current):
        raise ChangedError("the file was replaced or written to while it was read", url=wanted.url, offset=wanted.start)
    return Answer(wanted.start, status.st_size, current, ranged=True)


def _end(total: int, stop: int | None) -> int:
    return total if stop is None else min(total, stop)
