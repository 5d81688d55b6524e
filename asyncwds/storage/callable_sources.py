"""Sources that are opened by functions, users' own among them: `opener(url, "rb", bufsize)` returns something to `read` from."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any

from asyncwds.errors import FetchError, WdsError, redact
from asyncwds.runtime.blocking import BlockingPool
from asyncwds.runtime.counters import Counters
from asyncwds.runtime.units import KiB
from asyncwds.storage.base import Answer, ChunkBody, ObjectRange
from asyncwds.storage.local.direct_output import BUFSIZE
from asyncwds.storage.local.readiness import translate_os_error

if TYPE_CHECKING:
    from concurrent.futures import Future

Opener = Callable[..., Any]

PIECE = 256 * KiB
THREADS = 16  # one for each stream that is read at a time; they start as they are needed


class OpenerFetcher:
    """Reads, in threads, what an opener returns: it has no ranges, no size and no identity.

    Whatever the opener or its stream raises becomes a FetchError with that as its cause.
    """

    def __init__(self, opener: Opener, counters: Counters) -> None:
        self._opener = opener
        self._counters = counters
        self._threads = BlockingPool("open", THREADS)

    @asynccontextmanager
    async def open(self, wanted: ObjectRange, *, buffer: memoryview | None = None) -> AsyncGenerator[ChunkBody, None]:
        del buffer
        self._counters.requests += 1
        stream = _Stream(wanted.url, self._threads)
        try:
            await stream.open(self._opener)
            async with aclosing(self._chunks(stream)) as chunks:
                yield ChunkBody(Answer(0, None, None, ranged=False), chunks)
        finally:
            stream.close()

    async def aclose(self) -> None:
        self._threads.close()  # also waits for streams to be closed

    async def _chunks(self, stream: _Stream) -> AsyncGenerator[bytes, None]:
        while chunk := await stream.read():
            self._counters.bytes += len(chunk)
            self._counters.piped += len(chunk)
            yield chunk


class _Stream:
    """What an opener returned, used by one thread at a time. `close` leaves the closing to the threads."""

    def __init__(self, url: str, threads: BlockingPool) -> None:
        self._url = url
        self._threads = threads
        self._position = 0
        self._file: Any = None
        self._last: Future[Any] | None = None

    async def open(self, opener: Opener) -> None:
        opening = self._threads.submit(opener, self._url, "rb", BUFSIZE)
        try:
            self._file = await self._result(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close_unused)
            raise
        if not hasattr(self._file, "read"):
            message = f"the function that opens such urls returned {type(self._file).__name__}, which has no read()"
            raise FetchError(message, url=self._url)

    async def read(self) -> bytes:
        self._last = self._threads.submit(self._file.read, PIECE)
        chunk = await self._result(self._last)
        if not isinstance(chunk, bytes | bytearray | memoryview):
            raise FetchError(f"read() returned {type(chunk).__name__}, not bytes", url=self._url, offset=self._position)
        self._position += len(chunk)
        return bytes(chunk)

    async def _result(self, future: Future[Any]) -> Any:
        try:
            return await asyncio.wrap_future(future)
        except WdsError as error:
            error.url = error.url or redact(self._url)
            raise
        except OSError as error:
            raise translate_os_error(error, self._url, self._position) from error
        except Exception as error:
            raise FetchError(f"{type(error).__name__}: {error}", url=self._url, offset=self._position) from error

    def close(self) -> None:
        file = self._file
        if file is None:
            return
        # A command that writes nothing would be waited for for ever.
        if hasattr(file, "kill"):
            file.kill()
        if not hasattr(file, "close"):
            return
        if self._last is None or self._last.done():
            self._threads.submit(file.close)
        else:  # not under a read
            self._last.add_done_callback(lambda _: file.close())


def _close_unused(opening: Future[Any]) -> None:
    if not opening.cancelled() and opening.exception() is None and hasattr(opening.result(), "close"):
        opening.result().close()
