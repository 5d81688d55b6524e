"""What differs from cloud to cloud: a store is what it has of `Signer`, `Lister`, `Uploader`. One transport serves all.

    s3://bucket/key ──► Signer.sign ──► https://bucket.s3.eu-north-1.amazonaws.com/key, with headers ──► Transport

Ranges, retries, redirects, time limits, pinned ETags and counters are not a store's business.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from asyncwds.errors import FetchError
from asyncwds.storage.base import Chunk
from asyncwds.storage.ranges import ObjectMetadata

if TYPE_CHECKING:
    from asyncwds.storage.sink import Upload


class BodySource(Protocol):
    """A body that may still be written while it is sent. `size` [bytes] of what there is; of all of it once it is `finished`."""

    size: int
    finished: bool

    async def piece(self, position: int) -> Chunk:
        """Bytes from `position`, as soon as there are some; none at the end. Raises FetchError."""
        ...


@dataclass(frozen=True, slots=True)
class StoreRequest:
    """What is wanted of an object or a folder: `url` is the store's own, as users write it; errors name it.

    headers   besides those that the store adds (Range, If-Match); signatures cover them
    query     added to the URL that is requested; neither names nor values are escaped yet
    source    in place of a body that is in memory; for web servers alone: no signature covers it
    follow    False: an answer that redirects is a success, with its Location
    offset    [bytes] from which the object is wanted, for errors
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)
    source: BodySource | None = field(default=None, repr=False)
    follow: bool = True
    offset: int = 0


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """What goes out. `url` is http or https, percent-encoded, and requested verbatim; `headers`: the request's and the store's.

    The headers go to this URL's origin alone: where an answer redirects to another one, only the request's go along.
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
    signed: SignedRequest
    response: StoreResponse


class Signer(Protocol):
    """Makes requests of what is wanted, and errors of answers. Used on one event loop; whatever blocks is done in a thread."""

    async def sign(self, request: StoreRequest, refused: RejectedRequest | None = None) -> SignedRequest | None:
        """What goes out for a request. Raises SpecError for urls that make no sense, AccessError where there are no credentials.

        `refused` is what went out before, and its answer, for which `should_resign` was true: signed with other credentials, for
        another place, or resolved anew, the same request may succeed. None if there is nothing else to try; only then.
        """
        ...

    def should_resign(self, response: StoreResponse) -> bool:
        """Whether the same request, signed anew, may succeed although this was its answer (401, 403, wrong region, …)."""
        ...

    def error_for(self, request: StoreRequest, response: StoreResponse) -> FetchError:
        """The error for an answer that is no success: `translate.error_for`, if codes mean nothing special here."""
        ...

    def metadata(self, signed: SignedRequest, headers: Mapping[str, str]) -> ObjectMetadata:
        """What a good answer says of the object: `ranges.metadata_of`, unless this store says it elsewhere."""
        ...


class Closing(Protocol):
    async def aclose(self) -> None:
        """Frees threads and tasks; idempotent. The transport is not the store's to close."""
        ...


class Lister(Closing, Protocol):
    def list(self, prefix: str, *, deep: bool) -> AsyncIterator[str]:
        """The urls of all objects that begin with `prefix`, whose last `/` ends the folder to look in; in any order.

        Unless `deep`, only those without a further `/` behind the prefix; of folders below then comes the url with `/` at
        its end. Raises FetchError.
        """
        ...


@runtime_checkable
class Uploader(Closing, Protocol):
    def upload(self, url: str) -> Upload:
        """As `Sink.open`."""
        ...


class ObjectStore(Signer, Closing, Protocol):
    """A store that objects are read from, with its settings."""
