"""`hf://datasets/USER/NAME[@REVISION]/PATH`: files on the Hugging Face hub, and on the CDN that it sends readers to.

Sources: the hub's documentation ("Hub API endpoints", "Hub rate limits").

    hf://datasets/u/n/a.tar ──► HEAD hub/datasets/u/n/resolve/main/a.tar ──► 302 CDN/…?signature ──► ranges from there

The hub counts how often it is asked, so it is asked once for each file, without a range: what it signs for a range may
serve no other.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import weakref
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from asyncwds.errors import AccessError, FetchError, SpecError, redact
from asyncwds.storage.http.receive import is_success
from asyncwds.storage.http.request_options import http_url, redirect_target
from asyncwds.storage.http.translate import error_for
from asyncwds.storage.http.transport import Transport
from asyncwds.storage.object_store import RejectedRequest, SignedRequest, StoreRequest, StoreResponse
from asyncwds.storage.ranges import ObjectMetadata, metadata_of
from asyncwds.storage.stores.api_client import ApiClient
from asyncwds.storage.stores.auth import AuthHeaders, BearerToken, FixedUrlSigner, TokenCache
from asyncwds.storage.stores.hf.auth import find_token, knows_logins

if TYPE_CHECKING:
    from asyncwds.storage.stores.hf.scheme import HuggingFace

ENDPOINT = "https://huggingface.co"
_REMEMBERED = 4096  # files whose location on the CDN is kept: 2 MB
_HOPS = 5  # a repo that was renamed, then a file that the hub keeps itself
_ON = {"1", "on", "yes", "true"}
_URL = re.compile(
    r"hf://(?:(?P<kind>datasets|spaces|models)/)?(?P<repo>[^/@]+/[^/@]+)"
    r"(?:@(?P<revision>refs/(?:convert|pr)/[^/]+|[^/]+))?(?:/(?P<path>.*))?",
    re.DOTALL | re.IGNORECASE,
)
_WAIT = re.compile(r";\s*t=(\d{1,9})")
_NEXT = re.compile(r'<([^>]+)>;\s*rel="next"')


class Address(NamedTuple):
    """`kind` is datasets, spaces or models; `path` is verbatim: `?` and `%` are characters like others."""

    kind: str
    repo: str
    revision: str
    path: str


@dataclass(frozen=True, slots=True)
class _Location:
    """Where a file's bytes are, for the request that asked for it and others; `ranged`: for the range of that request alone."""

    url: str = field(repr=False)
    etag: str | None
    at_hub: bool
    found_for: StoreRequest = field(repr=False)
    ranged: bool


class HfStore:
    def __init__(self, settings: HuggingFace, transport: Transport) -> None:
        self._endpoint = endpoint(settings)
        self._transport = transport
        self._token = TokenCache(lambda: find_token(settings))
        self._locations: dict[str, _Location] = {}
        self._bound: set[str] = set()  # files whose signed URLs serve no range but the one they were asked for with
        self._asking: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()

    async def sign(self, request: StoreRequest, refused: RejectedRequest | None = None) -> SignedRequest | None:
        _check_online(request.url)
        location = await self._locate(request, None if refused is None else refused.signed.lease)
        if location is None:
            return None
        headers = dict(request.headers)
        if location.etag is not None:
            headers.pop("If-Match", None)  # this ETag is the hub's; the CDN's own may differ from host to host
        if location.at_hub:
            headers.update((await self._token.get()).headers())
        return SignedRequest(location.url, headers, location)

    def should_resign(self, response: StoreResponse) -> bool:
        return response.status in (401, 403, 410)

    def error_for(self, request: StoreRequest, response: StoreResponse) -> FetchError:
        error = error_for(request.url, request.offset, response.status, response.headers, response.page)
        if "X-Error-Message" in response.headers:
            error.message += f"; the hub says: {redact(response.headers['X-Error-Message'][:200])}"
        if isinstance(error, AccessError) and not knows_logins():
            error.message += "; pip install 'asyncwds[hf]' to use the token of `hf auth login`"
        wait = _WAIT.search(response.headers.get("RateLimit", ""))
        if response.status == 429 and wait is not None:
            error.retry_after = float(wait[1])
        return error

    def metadata(self, signed: SignedRequest, headers: Mapping[str, str]) -> ObjectMetadata:
        location = signed.lease
        assert isinstance(location, _Location)
        return metadata_of(headers) if location.etag is None else ObjectMetadata(location.etag)

    async def list(self, prefix: str, *, deep: bool) -> AsyncIterator[str]:
        _check_online(prefix)
        address = parse_address(prefix)
        root = prefix.removesuffix(address.path)
        folder = address.path.rpartition("/")[0]
        url = f"{self._endpoint}/api/{address.kind}/{quote(address.repo)}/tree/{quote(address.revision, safe='')}"
        api = ApiClient(
            self._transport, FixedUrlSigner(f"{url}/{quote(folder)}" if folder else url, self._find_auth, self.error_for)
        )
        query: dict[str, str] | None = {"recursive": "true"} if deep else {}
        while query is not None:
            response = await api.send(StoreRequest("GET", prefix, query=query))
            for path, is_folder in _entries(prefix, response.page):
                if path.startswith(address.path) and not (deep and is_folder):
                    yield f"{root}{path}{'/' if is_folder else ''}"
            following = _NEXT.search(response.headers.get("Link", ""))
            query = dict(parse_qsl(urlsplit(following[1]).query)) if following is not None else None

    async def aclose(self) -> None:
        await self._token.aclose()

    async def _locate(self, request: StoreRequest, refused: object) -> _Location | None:
        if isinstance(refused, _Location) and refused.found_for is request:
            if refused.ranged or refused.at_hub:
                return None
            # Fresh from the hub, and good for nothing: it has to be signed for the very range that is asked for.
            self._bound.add(request.url)
        if request.url in self._bound:
            return await self._resolve(request, ranged=True)
        # When a URL ends, all parts of its file find out at once: one of them asks the hub.
        async with self._asking.setdefault(request.url, asyncio.Lock()):
            location = self._locations.get(request.url)
            if location is None or location is refused:
                self._locations.pop(request.url, None)
                location = self._locations[request.url] = await self._resolve(request, ranged=False)
                if len(self._locations) > _REMEMBERED:
                    del self._locations[next(iter(self._locations))]
            return location

    async def _resolve(self, request: StoreRequest, *, ranged: bool) -> _Location:
        address = parse_address(request.url)
        if not address.path:
            raise SpecError("this names no file: hf://datasets/USER/NAME/PATH", url=request.url)
        kind = "" if address.kind == "models" else f"{address.kind}/"
        url = http_url(
            f"{self._endpoint}/{kind}{quote(address.repo)}/resolve/{quote(address.revision, safe='')}/{quote(address.path)}"
        )
        home, etag = url.origin(), None
        for _ in range(_HOPS):
            response = await self._head(request, str(url), ranged=ranged)
            etag = etag or response.headers.get("X-Linked-ETag")
            if response.status < 300:
                return _Location(str(url), etag, at_hub=True, found_for=request, ranged=ranged)
            url = redirect_target(request.url, url, response.headers.get("Location"))
            if url.origin() != home:
                return _Location(str(url), etag, at_hub=False, found_for=request, ranged=ranged)
        raise FetchError(f"more than {_HOPS} redirects within the hub", url=request.url)

    async def _head(self, request: StoreRequest, url: str, *, ranged: bool) -> StoreResponse:
        """Once: whoever made the request makes it again."""
        headers = {name: request.headers[name] for name in ("Range",) if ranged and name in request.headers}
        head = StoreRequest("HEAD", request.url, headers, follow=False, offset=request.offset)
        exchange = await self._transport.send(FixedUrlSigner(url, self._find_auth, self.error_for), head)
        exchange.close()
        if not is_success(head, exchange.response.status):
            raise self.error_for(head, exchange.response)
        return exchange.response

    async def _find_auth(self, refused: RejectedRequest | None) -> AuthHeaders | None:
        if refused is None:
            token = await self._token.get()
            return AuthHeaders(token.headers(), token)
        old = refused.signed.lease
        assert isinstance(old, BearerToken)
        new = await self._token.get(refused=old)
        return None if new == old else AuthHeaders(new.headers(), new)


def endpoint(settings: HuggingFace) -> str:
    return (settings.endpoint or os.environ.get("HF_ENDPOINT") or ENDPOINT).rstrip("/")


def parse_address(url: str) -> Address:
    """Raises SpecError for urls that name no repository."""
    found = _URL.fullmatch(url)
    if found is None:
        raise SpecError("a file on the hub is hf://datasets/USER/NAME[@REVISION]/PATH, of a model hf://USER/NAME/PATH", url=url)
    kind, repo, revision, path = found["kind"], found["repo"], found["revision"], found["path"]
    return Address((kind or "models").lower(), repo, unquote(revision or "main"), path or "")


def _check_online(url: str) -> None:
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in _ON:
        raise SpecError("hf: urls are not read, because HF_HUB_OFFLINE is set", url=url)


def _entries(url: str, page: bytes) -> Iterator[tuple[str, bool]]:
    """Path, and whether it is a folder."""
    try:
        for entry in json.loads(page):
            yield entry["path"], entry["type"] == "directory"
    except (ValueError, TypeError, KeyError) as error:
        raise FetchError(f"the hub's listing makes no sense: {error!r}", url=url, retryable=True) from error
