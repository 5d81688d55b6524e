"""What differs from cloud to cloud: a `Site` signs requests, lists objects and explains refusals. The transport is one for all.

    s3://bucket/key ──► Site.sign ──► https://bucket.s3.eu-north-1.amazonaws.com/key, with headers ──► Transport

Ranges, retries, redirects, time limits, pinned ETags and counters are not a site's business.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from asyncwds.errors import FetchError
from asyncwds.storage.ranges import Facts
from asyncwds.storage.sink import Upload


@dataclass(frozen=True, slots=True)
class Call:
    """What is wanted of an object or a folder: `url` is the site's own, as users write it; errors name it.

    headers   besides those that the site adds (Range, If-Match); signatures cover them
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
class Request:
    """What goes out. `url` is http or https, percent-encoded, and requested verbatim; `headers`: the call's and the site's.

    The headers go to this URL's origin alone: where an answer redirects to another one, only the call's go along.
    `lease` is not sent: the site finds it again in `Refused`, to know which of its credentials were refused.
    """

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    lease: object = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. `page` is its body; of a refusal its beginning."""

    status: int
    headers: Mapping[str, str]
    page: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Refused:
    request: Request
    reply: Reply


class Site(Protocol):
    """One object store, with its settings. Used and closed on one event loop; whatever blocks is done in a thread."""

    async def sign(self, call: Call, refused: Refused | None = None) -> Request | None:
        """The request for a call. Raises SpecError for urls that make no sense, AccessError where there are no credentials.

        `refused` is the request made before, and its answer, for which `renews` was true: signed with other credentials, for
        another place, or resolved anew, the same call may succeed. None if there is nothing else to try; only then.
        """
        ...

    def renews(self, reply: Reply) -> bool:
        """Whether the same call, signed anew, may succeed although this was its answer (401, 403, wrong region, …)."""
        ...

    def refusal(self, call: Call, reply: Reply) -> FetchError:
        """The error for an answer that is no success: `translate.refusal`, if codes mean nothing special here."""
        ...

    def facts(self, request: Request, headers: Mapping[str, str]) -> Facts:
        """What a good answer to `request` says of the object: `ranges.facts_of`, unless this store says it elsewhere."""
        ...

    def list(self, prefix: str, *, deep: bool) -> AsyncIterator[str]:
        """The urls of all objects that begin with `prefix`, whose last `/` ends the folder to look in; in any order.

        Unless `deep`, only those without a further `/` behind the prefix; of folders below then comes the url with `/` at
        its end. Raises FetchError.
        """
        ...

    async def aclose(self) -> None:
        """Idempotent. The transport is not the site's to close."""
        ...


@runtime_checkable
class WritableSite(Site, Protocol):
    def upload(self, url: str) -> Upload:
        """As `Sink.open`."""
        ...
