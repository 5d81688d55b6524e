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

    async def enter(self, host: str) -> RequestSlot:
        """Waits for a place at the host and for a turn. The place is held until it is left."""
        began = asyncio.get_running_loop().time()
        place = RequestSlot(None if self._per_host is None else self._hosts.setdefault(host, asyncio.Semaphore(self._per_host)))
        await place.take()
        try:
            await self._turn()
        except BaseException:
            place.leave()
            raise
        place.waited = asyncio.get_running_loop().time() - began
        return place

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
    """One request's place at a host; how long it was `waited` for [s]."""

    def __init__(self, places: asyncio.Semaphore | None) -> None:
        self._places = places
        self.waited = 0.0

    async def take(self) -> None:
        if self._places is not None:
            await self._places.acquire()

    def leave(self) -> None:
        """Idempotent."""
        places, self._places = self._places, None
        if places is not None:
            places.release()
