"""`ais://bucket/object`: AIStore, natively, and the buckets of other clouds by way of it.

Sources: AIStore's "HTTP API" and "Archive" documentation, `api/apc` for names of parameters and headers.

    ais://b/a.tar ──► gateway/v1/objects/b/a.tar?provider=ais ──► 307 target/v1/objects/b/a.tar?…signature ──► bytes

The gateway knows which target has an object now, and signs where it sends a reader: its Location is followed as it is, once.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from asyncwds.errors import FetchError, SpecError
from asyncwds.storage.http.request_options import http_url, redirect_target
from asyncwds.storage.http.translate import error_for
from asyncwds.storage.http.transport import Transport
from asyncwds.storage.object_store import RejectedRequest, SignedRequest, StoreRequest, StoreResponse
from asyncwds.storage.ranges import ObjectMetadata, metadata_of
from asyncwds.storage.sink import Upload
from asyncwds.storage.stores.ais.upload import AisParts
from asyncwds.storage.stores.api_client import ApiClient
from asyncwds.storage.stores.auth import AuthHeaders, BearerToken, ExpiringToken, FixedUrlSigner, TokenCache, for_ever
from asyncwds.storage.stores.upload import MultipartUpload

if TYPE_CHECKING:
    from asyncwds.storage.stores.ais.scheme import AIStore

ENDPOINT = "http://localhost:8080"
PROVIDERS = {"ais": "ais", "s3": "aws", "gs": "gcp", "az": "azure", "oc": "oci"}
"""Scheme of a url → what AIStore calls the cloud."""
_NAMES_ONLY = "16"  # bit 4 of the flags of a listing
# What may follow the name of an object. Any other `?` is part of the name.
_QUERY = re.compile(r"\?(?=(?:arch(?:path|mime|regx|mode)|provider|namespace|etl_name|latest-ver)=)")
_LOG = logging.getLogger("asyncwds.storage")


class ObjectAddress(NamedTuple):
    """`name` is verbatim; `query` has the provider, and what the url adds."""

    bucket: str
    name: str
    query: dict[str, str]


class AisStore:
    def __init__(self, settings: AIStore, transport: Transport) -> None:
        self._settings = settings
        self._endpoint = endpoint(settings)
        self._transport = transport
        self._token = TokenCache(self._find_token)
        self._api = ApiClient(transport, self)
        self._jobs: set[asyncio.Task[None]] = set()

    async def sign(self, request: StoreRequest, refused: RejectedRequest | None = None) -> SignedRequest | None:
        if request.body and request.method == "PUT":
            return await self._at_target(request) if refused is None else None
        who = await self._find_auth(refused)
        headers = {name: value for name, value in request.headers.items() if name != "If-Match"}
        return None if who is None else SignedRequest(self._address(request), {**headers, **who.headers}, who.lease)

    def should_resign(self, response: StoreResponse) -> bool:
        return response.status == 401

    def error_for(self, request: StoreRequest, response: StoreResponse) -> FetchError:
        error = error_for(request.url, request.offset, response.status, response.headers, response.page)
        error.retryable |= response.status == 409  # somebody else makes the cluster fetch this object from its cloud
        return error

    def metadata(self, signed: SignedRequest, headers: Mapping[str, str]) -> ObjectMetadata:
        del signed
        value = headers.get("Ais-Checksum-Value")
        checksum = f"{headers.get('Ais-Checksum-Type', '').lower()}:{value}" if value else None
        version = headers.get("Ais-Version")
        # Of objects without a version the checksum is the next best thing.
        return ObjectMetadata(metadata_of(headers).identity or (f"version {version}" if version else checksum), checksum)

    async def list(self, prefix: str, *, deep: bool) -> AsyncIterator[str]:
        address = parse_address(prefix)
        root = prefix[: prefix.index("/", len("ais://")) + 1]
        message = {"props": "name", "prefix": address.name, "flags": _NAMES_ONLY, "uuid": "", "continuation_token": ""}
        folders: set[str] = set()
        while True:
            page = _parse(prefix, await self._bucket_call("GET", _bucket_url(prefix), "list", message))
            for entry in page.get("entries") or ():
                inside = entry["name"][len(address.name) :].partition("/")
                # Versions of AIStore differ in how they list one folder alone.
                name = entry["name"] if deep or not inside[1] else f"{address.name}{inside[0]}/"
                if name not in folders:
                    yield root + name
                if name.endswith("/"):
                    folders.add(name)
            if not page.get("continuation_token"):
                return
            message |= {"uuid": page.get("uuid", ""), "continuation_token": page["continuation_token"]}

    def upload(self, url: str) -> Upload:
        if not parse_address(url).name:
            raise SpecError("this names no object", url=url)
        return MultipartUpload(AisParts(self._api, self._settings.part_bytes), url)

    def foresees(self, url: str) -> bool:
        return parse_address(url).query["provider"] != "ais"

    def upcoming(self, urls: Sequence[str]) -> None:
        """Asks the cluster to fetch objects from their cloud, before they are read. Where it does not, reading does."""
        buckets: dict[str, list[str]] = {}
        for url in urls:
            if self.foresees(url):
                buckets.setdefault(_bucket_url(url), []).append(parse_address(url).name)
        for bucket, names in buckets.items():
            job = asyncio.create_task(self._prefetch(bucket, names))
            self._jobs.add(job)
            job.add_done_callback(self._jobs.discard)

    async def aclose(self) -> None:
        for job in self._jobs:
            job.cancel()
        try:
            if self._jobs:
                await asyncio.wait(self._jobs)
        finally:
            await self._token.aclose()

    async def _prefetch(self, bucket: str, names: Sequence[str]) -> None:
        try:
            await self._bucket_call("POST", bucket, "prefetch-listrange", {"objnames": names, "coer": True})
        except FetchError as error:
            _LOG.warning("objects are not fetched in advance: %s", error)

    async def _bucket_call(self, method: str, url: str, action: str, value: Mapping[str, Any]) -> StoreResponse:
        body = json.dumps({"action": action, "value": value}).encode()
        return await self._api.send(StoreRequest(method, url, {"Content-Type": "application/json"}, body=body))

    async def _at_target(self, request: StoreRequest) -> SignedRequest:
        """The gateway is shown the size of a body, which it signs, and not the body, which it would not read."""
        shown = {"Content-Length": str(len(request.body)), "Connection": "close"}
        announced = StoreRequest(request.method, request.url, shown, follow=False)
        gateway = FixedUrlSigner(self._address(request), self._find_auth, self.error_for)
        exchange = await self._transport.send(gateway, announced)
        exchange.close()
        response = exchange.response
        if not 300 <= response.status < 400:
            raise self.error_for(announced, response)
        target = redirect_target(request.url, http_url(exchange.signed.url), response.headers.get("Location"))
        return SignedRequest(str(target), dict(request.headers))

    async def _find_auth(self, refused: RejectedRequest | None) -> AuthHeaders | None:
        old = None if refused is None else refused.signed.lease
        token = await self._token.get(refused=old if isinstance(old, BearerToken) else None)
        return None if token == old else AuthHeaders(token.headers(), token)

    def _find_token(self) -> ExpiringToken[BearerToken]:
        settings = self._settings
        value = settings.get_token() if settings.get_token is not None else settings.token or os.environ.get("AIS_AUTHN_TOKEN")
        return ExpiringToken(BearerToken(value or None), for_ever)

    def _address(self, request: StoreRequest) -> str:
        address = parse_address(request.url)
        kind = "objects" if address.name else "buckets"
        path = quote(f"{address.bucket}/{address.name}" if address.name else address.bucket)
        return f"{self._endpoint}/v1/{kind}/{path}?{urlencode({**address.query, **request.query}, quote_via=quote)}"


def endpoint(settings: AIStore) -> str:
    """Raises SpecError for what is no URL."""
    found = (settings.endpoint or os.environ.get("AIS_ENDPOINT") or ENDPOINT).rstrip("/")
    if urlsplit(found).scheme not in ("http", "https") or not urlsplit(found).hostname:
        raise SpecError("the endpoint of AIStore is a URL such as http://gateway:8080", url=found)
    return found


def parse_address(url: str) -> ObjectAddress:
    """Raises SpecError without a bucket, or for schemes that AIStore has no provider for."""
    scheme, _, rest = url.partition("://")
    bucket, _, name = rest.partition("/")
    if scheme.lower() not in PROVIDERS or not bucket:
        raise SpecError(
            f"an object in AIStore is ais://BUCKET/OBJECT; other schemes that it knows: {', '.join(PROVIDERS)}", url=url
        )
    name, *query = _QUERY.split(name, maxsplit=1)
    return ObjectAddress(bucket, name, {"provider": PROVIDERS[scheme.lower()], **dict(parse_qsl("".join(query)))})


def _bucket_url(url: str) -> str:
    """The url of an object's bucket, with what belongs to it."""
    bucket, _, query = parse_address(url)
    kept = urlencode([(name, query[name]) for name in ("provider", "namespace") if name in query])
    return f"{url.partition('://')[0]}://{bucket}/?{kept}"


def _parse(url: str, response: StoreResponse) -> dict[str, Any]:
    try:
        found = json.loads(response.page)
    except ValueError as error:
        raise FetchError(f"the listing is no JSON: {error}", url=url, retryable=True) from error
    if not isinstance(found, dict):
        raise FetchError("the listing makes no sense", url=url, retryable=True)
    return found
