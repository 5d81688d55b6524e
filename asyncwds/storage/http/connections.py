"""HTTP connections: when one counts as stalled (`StallClock`), how many requests a shared or metered server gets (`RequestLimits`),
and how they leave no socket behind.

Imports aiohttp.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from typing import Any

import aiohttp

from asyncwds.runtime.event_loop import Deadlines
from asyncwds.settings.access import Retry


class Connector(aiohttp.TCPConnector):
    """As many connections as are asked for at once. It knows them all, so that `close_session` can."""

    def __init__(self, *, force_close: bool = False) -> None:
        super().__init__(limit=0, force_close=force_close)  # the scheduler limits them
        # By aiohttp's protocols: uvloop's transports allow no weak references. A transport forgets its protocol when it is closed.
        self._transports: weakref.WeakKeyDictionary[Any, tuple[asyncio.Transport, bool]] = weakref.WeakKeyDictionary()

    async def connect(self, *args: Any, **options: Any) -> Any:
        connection = await super().connect(*args, **options)
        transport = connection.transport
        if transport is not None and connection.protocol not in self._transports:
            self._transports[connection.protocol] = transport, transport.get_extra_info("sslcontext") is not None
        return connection

    def abort(self) -> None:
        """Ends connections that the peers have not taken everything from yet, or, with TLS, have not said goodbye to."""
        for transport, secured in tuple(self._transports.values()):
            # Where it is closed already, asyncio's `abort` fails without TLS, and `get_write_buffer_size` with it.
            if secured or transport.get_write_buffer_size():
                transport.abort()


async def close_session(session: aiohttp.ClientSession) -> None:
    """Closes its connections, at once.

    A connection that is closed while an upload waits for the peer to take more would go on waiting, beyond the end of the loop.
    """
    connector = session.connector
    await session.close()
    if isinstance(connector, Connector):
        connector.abort()
    await asyncio.sleep(0)  # what was aborted closes its socket in the loop's next turn


def hang_up(response: aiohttp.ClientResponse) -> None:
    """Gives the connection up, unless the answer was read to its end: then it is back in the pool already.

    Aborted, not closed: TLS would wait for the other side to agree, while that goes on sending what nobody wants.
    """
    connection = response.connection
    if connection is None:
        return
    if connection.transport is not None:
        connection.transport.abort()
    response.close()


class StallClock:
    """Gives a connection up that brings fewer than `stall_bytes` while its reader waits for `stall_timeout` seconds.

    Only waiting counts. A reader that is busy, or that leaves bytes where they are for back-pressure, is no fault of
    the server. `give_up` has to make the wait fail; `stalled` then tells why it failed.

    One deadline for a whole body: aiohttp's own `sock_read` makes a timer for every chunk, which cost 10 % of a download's
    CPU time, and a byte every few seconds satisfies it.
    """

    __slots__ = (
        "_deadline",
        "_deadlines",
        "_enough",
        "_give_up",
        "_got",
        "_loop",
        "_since",
        "_suspected",
        "_waited",
        "stalled",
        "window",
    )

    def __init__(self, retry: Retry, give_up: Callable[[], None], deadlines: Deadlines) -> None:
        self.window = retry.stall_timeout
        self._enough = retry.stall_bytes
        self._give_up = give_up
        self._loop = asyncio.get_running_loop()
        self._since: float | None = None  # when the present wait began
        self._waited = 0.0  # earlier waits since enough bytes came last
        self._got = 0  # bytes in these waits
        self._suspected = False
        self.stalled = False
        self._deadlines = deadlines
        self._deadline = deadlines.add(self.window, self._look)

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
        self._deadlines.drop(self._deadline)

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
        self._deadline = self._deadlines.add(max(left, self.window / 10), self._look)


class RequestLimits:
    """Limits of one fetcher: `per_host` requests at once to each host, `per_second` new ones to all together. None is no limit.

    A host counts by the name and port that a request really goes to, behind all redirects.
    """

    def __init__(self, per_host: int | None, per_second: float | None) -> None:
        self._per_host = per_host
        self._interval = 0.0 if per_second is None else 1 / per_second
        self._hosts: dict[str, asyncio.Semaphore] = {}
        self._next = 0.0  # when the next request may be made, on the loop's clock [s]

    async def enter(self, host: str | None) -> RequestSlot:
        """Waits for a slot at the host, which is held until it is left, and for a turn.

        Without a host for a turn alone: a body that is still written waits for its writer, who may wait for other requests.
        """
        began = asyncio.get_running_loop().time()
        slot = RequestSlot(None if host is None or self._per_host is None else self._semaphore(host, self._per_host))
        await slot.take()
        try:
            await self._turn()
        except BaseException:
            slot.leave()
            raise
        slot.waited = asyncio.get_running_loop().time() - began
        return slot

    def _semaphore(self, host: str, per_host: int) -> asyncio.Semaphore:
        return self._hosts.setdefault(host, asyncio.Semaphore(per_host))

    async def _turn(self) -> None:
        if not self._interval:
            return
        # Each takes the next free time and waits for it: first come, first served, and no timer for those that wait.
        now = asyncio.get_running_loop().time()
        due = max(now, self._next)
        self._next = due + self._interval
        if due > now:
            await asyncio.sleep(due - now)


class RequestSlot:
    """One request at a host; how long it was `waited` for [s]."""

    def __init__(self, semaphore: asyncio.Semaphore | None) -> None:
        self._semaphore = semaphore
        self.waited = 0.0

    async def take(self) -> None:
        if self._semaphore is not None:
            await self._semaphore.acquire()

    def leave(self) -> None:
        """Idempotent."""
        semaphore, self._semaphore = self._semaphore, None
        if semaphore is not None:
            semaphore.release()
