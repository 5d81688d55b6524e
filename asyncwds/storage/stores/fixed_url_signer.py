"""A URL of a store's own, for calls in the name of another: `FixedUrlSigner`, a store within a store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import NamedTuple
from urllib.parse import urlencode

from asyncwds.errors import FetchError
from asyncwds.storage.object_store import RejectedRequest, SignedRequest, StoreRequest, StoreResponse
from asyncwds.storage.ranges import ObjectMetadata, metadata_of


class AuthHeaders(NamedTuple):
    """Headers that say who asks, and what they were made of: `SignedRequest.lease`."""

    headers: Mapping[str, str]
    lease: object = None

    def __repr__(self) -> str:
        return "Who(***)"


class FixedUrlSigner:
    """Requests `url`, whatever the call's url is; that one is for errors.

    `who` gives the headers, other ones after a refusal if it can, or None; `error_for` is `ObjectStore.error_for`.
    """

    def __init__(
        self,
        url: str,
        who: Callable[[RejectedRequest | None], Awaitable[AuthHeaders | None]],
        error_for: Callable[[StoreRequest, StoreResponse], FetchError],
    ) -> None:
        self._url = url
        self._who = who
        self._refusal = error_for

    async def sign(self, call: StoreRequest, refused: RejectedRequest | None = None) -> SignedRequest | None:
        who = await self._who(refused)
        if who is None:
            return None
        query = ("&" if "?" in self._url else "?") + urlencode(call.query) if call.query else ""
        return SignedRequest(self._url + query, {**call.headers, **who.headers}, who.lease)

    def should_resign(self, reply: StoreResponse) -> bool:
        return reply.status == 401

    def error_for(self, call: StoreRequest, reply: StoreResponse) -> FetchError:
        return self._refusal(call, reply)

    def metadata(self, request: SignedRequest, headers: Mapping[str, str]) -> ObjectMetadata:
        del request
        return metadata_of(headers)

    def list(self, prefix: str, *, deep: bool) -> AsyncIterator[str]:
        raise NotImplementedError

    async def aclose(self) -> None:
        pass
