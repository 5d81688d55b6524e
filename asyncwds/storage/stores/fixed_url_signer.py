"""A URL of a store's own, for requests in the name of another: `FixedUrlSigner`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
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
