"""The bytes of one HTTP answer: `HttpBody`; and when a connection counts as stalled: `StallClock`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Self

import aiohttp

from asyncwds.errors import FetchError, FetchTimeoutError, ShortBodyError
from asyncwds.runtime.counters import Counters
from asyncwds.settings.access import Retry
from asyncwds.storage.base import Answer, Chunk, ObjectRange
from asyncwds.storage.http.direct_receive import Receiver, left_behind, read_much, takes_over
from asyncwds.storage.http.translate import FOREIGN, translate
from asyncwds.storage.ranges import Promise


def hang_up(response: aiohttp.ClientResponse) -> None:
    """Gives the connection up, unless the answer was read to its end: then it is back in the pool already.

    Aborted, not closed: TLS would wait for the other side to agree, while that goes on sending what nobody wants.
    """
    connection = response.connection
    if connection is not None and connection.transport is not None:
        connection.transport.abort()
    response.close()


class HttpBody:
    """The bytes of one answer: ShortBodyError if they are fewer than promised; what is more is cut off.

    With a buffer, and where the end is known, it takes from aiohttp what that has read already and receives the rest itself.
    `failed` is called before an error is raised.
    """

    def __init__(
        self,
        wanted: ObjectRange,
        response: aiohttp.ClientResponse,
        promise: Promise,
        retry: Retry,
        counters: Counters,
        *,
        buffer: memoryview | None,
        failed: Callable[[], None],
    ) -> None:
        self._wanted = wanted
        self._failed = failed
        self._answer, self._end = promise
        self._position = promise.answer.start
        self._counters = counters
        self._response = response
        self._content = response.content
        self._chunked = "Transfer-Encoding" in response.headers
        self._connection = response.connection and response.connection.protocol
        self._clock = StallClock(retry, lambda: hang_up(response))
        self._unread = b""
        self._receiver: Receiver | None = None
        if buffer is not None and promise.answer.ranged and promise.end is not None:
            self._take_over(buffer[: promise.end - promise.answer.start])
        if self._receiver is None:
            read_much(response)

    @property
    def answer(self) -> Answer:
        return self._answer

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Chunk:
        if self._position == self._end:
            raise StopAsyncIteration
        self._clock.begin()
        try:
            chunk = await self._next()
        except FOREIGN as error:
            raise self._error_from(error) from error
        self._clock.end(len(chunk))
        if not chunk:
            self._check_end()
            raise StopAsyncIteration
        self._position += len(chunk)
        if self._end is not None and self._position > self._end:
            chunk = chunk[: self._end - self._position]
            self._position = self._end
        self._counters.bytes += len(chunk)
        return chunk

    def close(self) -> None:
        self._clock.stop()
        if self._receiver is not None:
            self._receiver.close()

    async def _next(self) -> Chunk:
        if self._unread:
            unread, self._unread = self._unread, b""
            return unread
        if self._receiver is not None:
            return await self._receiver.next_piece()
        if left := left_behind(self._content):
            return left
        # What single recv() calls gave, 256 KiB at most, is passed on as it is: where several have come, readany() joins
        # them, for 5 % more CPU time. HTTP's own chunks may be tiny, so those are joined.
        return await self._content.readany() if self._chunked else (await self._content.readchunk())[0]

    def _take_over(self, buffer: memoryview) -> None:
        # At once, before the loop's next turn brings aiohttp more than it hands out in one go.
        if not self._content.is_eof() and self._content.exception() is None:
            self._unread = self._content.read_nowait()
            begin = len(self._unread)
            if begin < len(buffer) and takes_over(self._response, begin):
                self._receiver = Receiver(self._response, buffer[begin:])

    def _check_end(self) -> None:
        if self._clock.stalled:
            raise self._stall_error()
        if self._end is not None:
            message = f"the body ended {self._end - self._position} bytes early"
        # Where only the connection's end marks the body's end, aiohttp takes a reset for one as well.
        elif self._connection is not None and isinstance(self._connection.exception(), OSError):
            message = "the connection was reset before the body's end"
        else:
            return
        self._failed()
        raise ShortBodyError(message, url=self._wanted.url, offset=self._position, retryable=True)

    def _error_from(self, error: Exception) -> FetchError:
        if self._clock.stalled:
            return self._stall_error()
        self._failed()
        return translate(error, self._wanted.url, self._position)

    def _stall_error(self) -> FetchError:
        self._failed()
        message = f"the connection stalled for {self._clock.window:g} s"
        return FetchTimeoutError(message, url=self._wanted.url, offset=self._position, retryable=True)


class StallClock:
    """Gives a connection up that brings fewer than `stall_bytes` while its reader waits for `stall_timeout` seconds.

    Only waiting counts. A reader that is busy, or that leaves bytes where they are for back-pressure, is no fault of
    the server. `give_up` has to make the wait fail; `stalled` then tells why it failed.

    One timer for a whole body: aiohttp's own `sock_read` makes one for every chunk, which cost 10 % of a download's
    CPU time, and a byte every few seconds satisfies it.
    """

    __slots__ = ("_enough", "_give_up", "_got", "_loop", "_since", "_suspected", "_timer", "_waited", "stalled", "window")

    def __init__(self, retry: Retry, give_up: Callable[[], None]) -> None:
        self.window = retry.stall_timeout
        self._enough = retry.stall_bytes
        self._give_up = give_up
        self._loop = asyncio.get_running_loop()
        self._since: float | None = None  # when the present wait began
        self._waited = 0.0  # earlier waits since enough bytes came last
        self._got = 0  # bytes in these waits
        self._suspected = False
        self.stalled = False
        self._timer = self._loop.call_later(self.window, self._look)

    def begin(self) -> None:
        """The reader begins to wait."""
        self._since = self._loop.time()

    def end(self, size: int) -> None:
        """The wait brought `size` bytes."""
        self._got += size
        if self._got >= self._enough:
            self._waited, self._got, self._suspected = 0.0, 0, False
        else:
            self._waited = self._total()
        self._since = None

    def stop(self) -> None:
        self._timer.cancel()

    def _total(self) -> float:
        return self._waited + (0.0 if self._since is None else self._loop.time() - self._since)

    def _look(self) -> None:
        left = self.window - self._total()
        if left <= 0 and self._suspected:
            self.stalled = True
            self._give_up()
            return
        # After other code blocked the loop, this timer may run before bytes that came meanwhile are read: only a
        # second look is evidence.
        self._suspected = left <= 0
        self._timer = self._loop.call_later(max(left, self.window / 10), self._look)
