"""When a connection counts as stalled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from asyncwds.settings.retry import Retry


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
