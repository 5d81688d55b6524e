"""Credentials that end: `TokenCache` gets them in a thread, renews them before they end, and gets others when they were refused."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from asyncwds.runtime.blocking import BlockingPool

T = TypeVar("T")

EARLY = 300.0  # [s] before their end credentials are renewed, while the old ones are still used
PAUSE = 10.0  # [s] from an early renewal that failed to the next
TOO_LATE = 30.0  # [s] before their end they are not used any more: clocks differ, and requests are under way for a while


class ExpiringToken(NamedTuple, Generic[T]):
    """`ends_within(seconds)`: whether `value` is no good any more in so many seconds [s]."""

    value: T
    ends_within: Callable[[float], bool]


class BearerToken(NamedTuple):
    """`value` is None for requests without one."""

    value: str | None

    def __repr__(self) -> str:
        return "BearerToken(***)"

    def headers(self) -> dict[str, str]:
        return {} if self.value is None else {"Authorization": f"Bearer {self.value}"}


def for_ever(_: float) -> bool:
    """`ends_within` of what does not end."""
    return False


class TokenCache(Generic[T]):
    """Used on one event loop. `fetch` may block: it runs in a thread, once for all who wait; what it raises they get."""

    def __init__(self, fetch: Callable[[], ExpiringToken[T]]) -> None:
        self._fetch = fetch
        self._thread = BlockingPool("token")
        self._lease: ExpiringToken[T] | None = None
        self._early = self._too_late = 0.0
        self._failed_at = -PAUSE
        self._fetching: asyncio.Future[ExpiringToken[T]] | None = None

    async def get(self, refused: T | None = None) -> T:
        """What is valid now; not `refused`, unless that is all there is to get."""
        lease = self._lease
        if lease is None or lease.value is refused or lease.ends_within(self._too_late):
            return (await asyncio.shield(self._begin())).value
        if lease.ends_within(self._early) and time.monotonic() > self._failed_at + PAUSE:
            self._begin()  # the old ones do for now; should it fail, whoever finds them at their end tries again
        return lease.value

    async def aclose(self) -> None:
        """Waits for a `fetch` under way."""
        try:
            if self._fetching is not None:
                await asyncio.wait([self._fetching])
        finally:
            self._thread.close()

    def _begin(self) -> asyncio.Future[ExpiringToken[T]]:
        # One that is done but not kept yet is no reason for another: that comes in the loop's next turn.
        if self._fetching is None:
            self._fetching = asyncio.wrap_future(self._thread.submit(self._fetch))
            self._fetching.add_done_callback(self._keep)
        return self._fetching

    def _keep(self, done: asyncio.Future[ExpiringToken[T]]) -> None:
        self._fetching = None
        # Looked at in any case: nobody may wait for it, and asyncio complains of exceptions that nobody has seen.
        if done.cancelled() or done.exception() is not None:
            self._failed_at = time.monotonic()
        else:
            self._lease = lease = done.result()
            # What lasts for less from the beginning is used to its end: new ones would last no longer.
            self._early = 0.0 if lease.ends_within(EARLY) else EARLY
            self._too_late = 0.0 if lease.ends_within(TOO_LATE) else TOO_LATE
