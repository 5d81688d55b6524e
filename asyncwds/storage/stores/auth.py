"""Who asks: `TokenCache` gets credentials that end in a thread, renews them before they end, and gets others when they were
refused; `FixedUrlSigner` sends requests to a URL of a store's own in the name of another.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Generic, NamedTuple, TypeVar
from urllib.parse import urlencode

from asyncwds.errors import FetchError
from asyncwds.runtime.blocking import BlockingPool
from asyncwds.storage.object_store import RejectedRequest, SignedRequest, StoreRequest, StoreResponse
from asyncwds.storage.ranges import ObjectMetadata, metadata_of

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


class AuthHeaders(NamedTuple):
    """Headers that say who asks, and what they were made of: `SignedRequest.lease`."""

    headers: Mapping[str, str]
    lease: object = None

    def __repr__(self) -> str:
        return "AuthHeaders(***)"


class FixedUrlSigner:
    """Requests `url`, whatever the request's url is; that one is for errors.

    `find_auth` gives the headers, other ones after a refusal if it can, or None; `error_for` is `Signer.error_for`.
    """

    def __init__(
        self,
        url: str,
        find_auth: Callable[[RejectedRequest | None], Awaitable[AuthHeaders | None]],
        error_for: Callable[[StoreRequest, StoreResponse], FetchError],
    ) -> None:
        self._url = url
        self._find_auth = find_auth
        self._error_for = error_for

    async def sign(self, request: StoreRequest, refused: RejectedRequest | None = None) -> SignedRequest | None:
        auth = await self._find_auth(refused)
        if auth is None:
            return None
        query = ("&" if "?" in self._url else "?") + urlencode(request.query) if request.query else ""
        return SignedRequest(self._url + query, {**request.headers, **auth.headers}, auth.lease)

    def should_resign(self, response: StoreResponse) -> bool:
        return response.status == 401

    def error_for(self, request: StoreRequest, response: StoreResponse) -> FetchError:
        return self._error_for(request, response)

    def metadata(self, signed: SignedRequest, headers: Mapping[str, str]) -> ObjectMetadata:
        del signed
        return metadata_of(headers)
