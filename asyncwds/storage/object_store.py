"""What differs from cloud to cloud: an `ObjectStore` signs requests, lists objects and explains refusals. One transport serves all.

    s3://bucket/key ──► ObjectStore.sign ──► https://bucket.s3.eu-north-1.amazonaws.com/key, with headers ──► Transport

Ranges, retries, redirects, time limits, pinned ETags and counters are not a store's business.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from asyncwds.errors import FetchError
from asyncwds.storage.ranges import ObjectMetadata
from asyncwds.storage.sink import Upload


@dataclass(frozen=True, slots=True)
class StoreRequest:
    """What is wanted of an object or a folder: `url` is the store's own, as users write it; errors name it.

    headers   besides those that the store adds (Range, If-Match); signatures cover them
    query     added to the URL that is requested; neither names nor values are escaped yet
    follow    False: an answer that redirects is a success, with its Location
    offset    [bytes] from which the object is wanted, for errors
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)
    follow: bool = True
    offset: int = 0


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """What goes out. `url` is http or https, percent-encoded, and requested verbatim; `headers`: the call's and the store's.

    The headers go to this URL's origin alone: where an answer redirects to another one, only the call's go along.
    `lease` is not sent: the store finds it again in `RejectedRequest`, to know which of its credentials were refused.
    """

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    lease: object = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class StoreResponse:
    """An answer. `page` is its body; of a refusal its beginning."""

    status: int
    headers: Mapping[str, str]
    page: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class RejectedRequest:
    request: SignedRequest
    reply: StoreResponse


class ObjectStore(Protocol):
    """One object store, with its settings. Used and closed on one event loop; whatever blocks is done in a thread."""

    async def sign(self, call: StoreRequest, refused: RejectedRequest | None = None) -> SignedRequest | None:
        """The request for a call. Raises SpecError for urls that make no sense, AccessError where there are no credentials.

        `refused` is the request made before, and its answer, for which `should_resign` was true: signed with other credentials, for
        another place, or resolved anew, the same call may succeed. None if there is nothing else to try; only then.
        """
        ...

    def should_resign(self, reply: StoreResponse) -> bool:
        """Whether the same call, signed anew, may succeed although this was its answer (401, 403, wrong region, …)."""
        ...

    def error_for(self, call: StoreRequest, reply: StoreResponse) -> FetchError:
        """The error for an answer that is no success: `translate.error_for`, if codes mean nothing special here."""
        ...

    def metadata(self, request: SignedRequest, headers: Mapping[str, str]) -> ObjectMetadata:
        """What a good answer to `request` says of the object: `ranges.metadata_of`, unless this store says it elsewhere."""
        ...

    def list(self, prefix: str, *, deep: bool) -> AsyncIterator[str]:
        """The urls of all objects that begin with `prefix`, whose last `/` ends the folder to look in; in any order.

        Unless `deep`, only those without a further `/` behind the prefix; of folders below then comes the url with `/` at
        its end. Raises FetchError.
        """
        ...

    async def aclose(self) -> None:
        """Idempotent. The transport is not the store's to close."""
        ...


@runtime_checkable
class WritableStore(ObjectStore, Protocol):
    def upload(self, url: str) -> Upload:
        """As `Sink.open`."""
        ...
