"""`gs://bucket/object`: Google Cloud Storage, by its JSON API. Credentials are google-auth's (the extra `gcs`).

Sources: "Cloud Storage JSON API" (Objects: get, list, insert), "Request preconditions", "Transcoding of gzip-compressed files".
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from asyncwds.errors import FetchError, SpecError
from asyncwds.settings.buckets import GCS
from asyncwds.storage.http.translate import refusal
from asyncwds.storage.http.transport import Transport
from asyncwds.storage.layers.checksums import checksum_of
from asyncwds.storage.object_store import Call, Refused, Reply, Request
from asyncwds.storage.ranges import Facts, facts_of
from asyncwds.storage.sink import Upload
from asyncwds.storage.stores.api_client import Calls
from asyncwds.storage.stores.fixed_url_signer import At, Who
from asyncwds.storage.stores.gcs.auth import ANONYMOUS, Token, TokenFinder
from asyncwds.storage.stores.gcs.upload import ResumableUpload
from asyncwds.storage.stores.token_cache import Held

ENDPOINT = "https://storage.googleapis.com"


class Place(NamedTuple):
    bucket: str
    key: str


class GcsSite:
    def __init__(self, settings: GCS, transport: Transport) -> None:
        self._user_project = settings.user_project
        self._endpoint = endpoint(settings)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="asyncwds-gcs")
        self._anonymous = is_anonymous(settings)
        self._token = Held((lambda: ANONYMOUS) if self._anonymous else TokenFinder(settings), self._thread)
        self._transport = transport
        self._part_bytes = settings.part_bytes
        self._calls = Calls(transport, self)

    async def sign(self, call: Call, refused: Refused | None = None) -> Request | None:
        old = None if refused is None else refused.request.lease
        token = await self._token.get(refused=old if isinstance(old, Token) else None)
        if refused is not None and token == old:
            return None
        place, headers, query = place_of(call.url), dict(call.headers), dict(call.query)
        if "If-Match" in headers:
            query["ifGenerationMatch"] = headers.pop("If-Match").strip('"')
        if self._user_project is not None:
            query["userProject"] = self._user_project
        if call.method == "GET" and place.key and "alt" not in query:
            query["alt"] = "media"
            # Objects that are stored with Content-Encoding gzip come as they are; else the service unpacks them, and
            # then it has no ranges.
            headers["Accept-Encoding"] = "gzip"
        url = self._endpoint + _path(place, query) + ("?" + urlencode(query, quote_via=quote) if query else "")
        return Request(url, headers | token.headers(), token)

    def renews(self, reply: Reply) -> bool:
        return reply.status == 401 and not self._anonymous

    def refusal(self, call: Call, reply: Reply) -> FetchError:
        error = refusal(call.url, call.offset, reply.status, reply.headers, reply.page)
        if self._anonymous and reply.status in (401, 403):
            error.message += "; it was asked for without credentials"
        return error

    def facts(self, request: Request, headers: Mapping[str, str]) -> Facts:
        del request
        generation = headers.get("x-goog-generation")
        identity = facts_of(headers).identity if generation is None else f'"{generation}"'
        return Facts(identity, _checksum(headers))

    async def list(self, prefix: str, *, deep: bool) -> AsyncIterator[str]:
        place = place_of(prefix)
        query = {"prefix": place.key, "fields": "items(name),prefixes,nextPageToken"} | ({} if deep else {"delimiter": "/"})
        while True:
            reply = await self._calls.send(Call("GET", f"gs://{place.bucket}/", query=query))
            page = _parsed(prefix, reply.page)
            for name in [item["name"] for item in page.get("items", ())] + page.get("prefixes", []):
                yield f"gs://{place.bucket}/{name}"
            if not page.get("nextPageToken"):
                return
            query["pageToken"] = page["nextPageToken"]

    def upload(self, url: str) -> Upload:
        key = place_of(url).key
        if not key:
            raise SpecError("this names no object", url=url)
        return ResumableUpload(url, key, self._calls, self._session, self._part_bytes)

    def _session(self, location: str) -> Calls:
        return Calls(self._transport, At(location, _nobody, self.refusal))

    async def aclose(self) -> None:
        try:
            await self._token.aclose()
        finally:
            self._thread.shutdown(wait=True)


async def _nobody(refused: Refused | None) -> Who | None:
    """The URL of an upload is its own credential."""
    return Who({}) if refused is None else None


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


def place_of(url: str) -> Place:
    """Bucket and name, both verbatim: `?` and `%` are characters like others. Raises SpecError without a bucket."""
    bucket, _, key = url.partition("://")[2].partition("/")
    if not bucket:
        raise SpecError("gs://BUCKET/OBJECT names a bucket", url=url)
    return Place(bucket, key)


def _path(place: Place, query: Mapping[str, str]) -> str:
    objects = f"/storage/v1/b/{quote(place.bucket, safe='')}/o"
    if "uploadType" in query:
        return "/upload" + objects
    return f"{objects}/{quote(place.key, safe='')}" if place.key else objects


def _checksum(headers: Mapping[str, str]) -> str | None:
    """`x-goog-hash: crc32c=…,md5=…`, in one header or in two. Of composed objects there is no MD5, which costs more besides."""
    getall = getattr(headers, "getall", None)  # aiohttp's headers have it
    values = [headers.get("x-goog-hash", "")] if getall is None else getall("x-goog-hash", [])
    hashes = dict(entry.strip().partition("=")[::2] for value in values for entry in value.split(","))
    return next((checksum_of(kind, hashes[kind]) for kind in ("crc32c", "md5") if kind in hashes), None)


def _parsed(url: str, page: bytes) -> dict[str, Any]:
    try:
        found = json.loads(page)
    except ValueError as error:
        raise FetchError(f"the listing is no JSON: {error}", url=url, retryable=True) from error
    if not isinstance(found, dict):
        raise FetchError("the listing makes no sense", url=url, retryable=True)
    return found
