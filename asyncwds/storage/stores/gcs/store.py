"""`gs://bucket/object`: Google Cloud Storage, by its JSON API. Credentials are google-auth's (the extra `gcs`).

Sources: "Cloud Storage JSON API" (Objects: get, list, insert), "Request preconditions", "Transcoding of gzip-compressed files".
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from asyncwds.errors import FetchError, SpecError
from asyncwds.storage.http.translate import error_for
from asyncwds.storage.http.transport import Transport
from asyncwds.storage.layers.checksums import checksum_of
from asyncwds.storage.object_store import RejectedRequest, SignedRequest, StoreRequest, StoreResponse
from asyncwds.storage.ranges import ObjectMetadata, metadata_of
from asyncwds.storage.sink import Upload
from asyncwds.storage.stores.api_client import ApiClient
from asyncwds.storage.stores.auth import AuthHeaders, FixedUrlSigner, TokenCache
from asyncwds.storage.stores.gcs.auth import ANONYMOUS, Token, TokenFinder
from asyncwds.storage.stores.gcs.upload import ResumableUpload

if TYPE_CHECKING:
    from asyncwds.storage.stores.gcs.scheme import GCS

ENDPOINT = "https://storage.googleapis.com"


class ObjectAddress(NamedTuple):
    bucket: str
    key: str


class GcsStore:
    def __init__(self, settings: GCS, transport: Transport) -> None:
        self._user_project = settings.user_project
        self._endpoint = endpoint(settings)
        self._anonymous = is_anonymous(settings)
        self._token = TokenCache((lambda: ANONYMOUS) if self._anonymous else TokenFinder(settings))
        self._transport = transport
        self._part_bytes = settings.part_bytes
        self._api = ApiClient(transport, self)

    async def sign(self, request: StoreRequest, refused: RejectedRequest | None = None) -> SignedRequest | None:
        old = None if refused is None else refused.signed.lease
        token = await self._token.get(refused=old if isinstance(old, Token) else None)
        if refused is not None and token == old:
            return None
        address, headers, query = parse_address(request.url), dict(request.headers), dict(request.query)
        if "If-Match" in headers:
            query["ifGenerationMatch"] = headers.pop("If-Match").strip('"')
        if self._user_project is not None:
            query["userProject"] = self._user_project
        if request.method == "GET" and address.key and "alt" not in query:
            query["alt"] = "media"
            # Objects that are stored with Content-Encoding gzip come as they are; else the service unpacks them, and
            # then it has no ranges.
            headers["Accept-Encoding"] = "gzip"
        url = self._endpoint + _path(address, query) + ("?" + urlencode(query, quote_via=quote) if query else "")
        return SignedRequest(url, headers | token.headers(), token)

    def should_resign(self, response: StoreResponse) -> bool:
        return response.status == 401 and not self._anonymous

    def error_for(self, request: StoreRequest, response: StoreResponse) -> FetchError:
        error = error_for(request.url, request.offset, response.status, response.headers, response.page)
        if self._anonymous and response.status in (401, 403):
            error.message += "; it was asked for without credentials"
        return error

    def metadata(self, signed: SignedRequest, headers: Mapping[str, str]) -> ObjectMetadata:
        del signed
        generation = headers.get("x-goog-generation")
        identity = metadata_of(headers).identity if generation is None else f'"{generation}"'
        return ObjectMetadata(identity, _checksum(headers))

    async def list(self, prefix: str, *, deep: bool) -> AsyncIterator[str]:
        address = parse_address(prefix)
        query = {"prefix": address.key, "fields": "items(name),prefixes,nextPageToken"} | ({} if deep else {"delimiter": "/"})
        while True:
            response = await self._api.send(StoreRequest("GET", f"gs://{address.bucket}/", query=query))
            page = _parse(prefix, response.page)
            for name in [item["name"] for item in page.get("items", ())] + page.get("prefixes", []):
                yield f"gs://{address.bucket}/{name}"
            if not page.get("nextPageToken"):
                return
            query["pageToken"] = page["nextPageToken"]

    def upload(self, url: str) -> Upload:
        key = parse_address(url).key
        if not key:
            raise SpecError("this names no object", url=url)
        return ResumableUpload(url, key, self._api, self._session, self._part_bytes)

    def _session(self, location: str) -> ApiClient:
        return ApiClient(self._transport, FixedUrlSigner(location, _nobody, self.error_for))

    async def aclose(self) -> None:
        await self._token.aclose()


async def _nobody(refused: RejectedRequest | None) -> AuthHeaders | None:
    """The URL of an upload is its own credential."""
    return AuthHeaders({}) if refused is None else None


def endpoint(settings: GCS) -> str:
    """Raises SpecError for what is no URL."""
    found = settings.endpoint or os.environ.get("STORAGE_EMULATOR_HOST") or ENDPOINT
    found = (found if "://" in found else f"http://{found}").rstrip("/")
    if urlsplit(found).scheme not in ("http", "https") or not urlsplit(found).hostname:
        raise SpecError("the endpoint of Cloud Storage is a URL such as http://127.0.0.1:4443", url=found)
    return found


def is_anonymous(settings: GCS) -> bool:
    if settings.anonymous or settings.get_token is not None or settings.credentials_file is not None:
        return settings.anonymous
    return settings.endpoint is None and "STORAGE_EMULATOR_HOST" in os.environ


def parse_address(url: str) -> ObjectAddress:
    """Bucket and name, both verbatim: `?` and `%` are characters like others. Raises SpecError without a bucket."""
    bucket, _, key = url.partition("://")[2].partition("/")
    if not bucket:
        raise SpecError("gs://BUCKET/OBJECT names a bucket", url=url)
    return ObjectAddress(bucket, key)


def _path(address: ObjectAddress, query: Mapping[str, str]) -> str:
    objects = f"/storage/v1/b/{quote(address.bucket, safe='')}/o"
    if "uploadType" in query:
        return "/upload" + objects
    return f"{objects}/{quote(address.key, safe='')}" if address.key else objects


def _checksum(headers: Mapping[str, str]) -> str | None:
    """`x-goog-hash: crc32c=…,md5=…`, in one header or in two. Of composed objects there is no MD5, which costs more besides."""
    getall = getattr(headers, "getall", None)  # aiohttp's headers have it
    values = [headers.get("x-goog-hash", "")] if getall is None else getall("x-goog-hash", [])
    hashes = dict(entry.strip().partition("=")[::2] for value in values for entry in value.split(","))
    return next((checksum_of(kind, hashes[kind]) for kind in ("crc32c", "md5") if kind in hashes), None)


def _parse(url: str, page: bytes) -> dict[str, Any]:
    try:
        found = json.loads(page)
    except ValueError as error:
        raise FetchError(f"the listing is no JSON: {error}", url=url, retryable=True) from error
    if not isinstance(found, dict):
        raise FetchError("the listing makes no sense", url=url, retryable=True)
    return found
