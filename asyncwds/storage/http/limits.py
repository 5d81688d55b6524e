"""How many requests at once, and how many a second: what a shared or metered server wants of its clients."""

from __future__ import annotations

import asyncio


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
