"""`s3://bucket/key`: S3 and what is compatible with it. Signatures and credentials are botocore's (the extra `s3`).

Sources: "Amazon S3 API Reference" (requests, error codes, ListObjectsV2) and "Amazon S3 User Guide" (hosting styles, redirects).
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, unquote_plus
from xml.etree import ElementTree as ET

from asyncwds.errors import FetchError, SpecError
from asyncwds.runtime.blocking import BlockingPool
from asyncwds.runtime.units import KiB
from asyncwds.storage.http.translate import error_for
from asyncwds.storage.http.transport import Transport
from asyncwds.storage.layers.checksums import checksum_of
from asyncwds.storage.object_store import RejectedRequest, SignedRequest, StoreRequest, StoreResponse
from asyncwds.storage.ranges import ObjectMetadata, metadata_of
from asyncwds.storage.stores.api_client import ApiClient
from asyncwds.storage.stores.auth import TokenCache
from asyncwds.storage.stores.s3.auth import ACCELERATED, Login, SigningContext, authorize, clock_ahead, is_skewed, login
from asyncwds.storage.stores.s3.upload import S3Parts
from asyncwds.storage.stores.upload import MultipartUpload

if TYPE_CHECKING:
    from asyncwds.storage.stores.s3.scheme import S3

SAFE = "/-_.~"  # what no key's percent-encoding touches
_OFF_LOOP = 256 * KiB  # bodies from this size [bytes] on are hashed in a thread
_ELSEWHERE = frozenset({301, 302, 307, 400})  # with these statuses an answer may name the right region
_REGION = re.compile(rb"<Region>([\w-]+)</Region>|<Endpoint>[^<]*?\.s3[.-]([\w-]+)\.amazonaws\.com")
_ENDED = re.compile(rb"<Code>(?:ExpiredToken|InvalidToken|TokenRefreshRequired)</Code>")  # with status 400
_HOST_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_IP_ADDRESS = re.compile(r"https?://(\d+\.\d+\.\d+\.\d+|\[)")
_CHECKSUMS = ("crc32c", "crc32", "sha256", "sha1")  # from the cheapest on; there is no library for crc64nvme that is fast and small
_LOG = logging.getLogger("asyncwds.storage")


class ObjectAddress(NamedTuple):
    bucket: str
    key: str


class S3Store:
    """`now` [s since 1970] is this machine's clock."""

    def __init__(self, settings: S3, transport: Transport, *, now: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._now = now
        self._ahead = 0.0  # by which the service's clock is ahead of this machine's [s], once it has complained
        self._thread = BlockingPool("s3")
        self._login = TokenCache(partial(login, settings))
        self._regions: dict[str, str] = {}  # bucket → region, of those that are elsewhere than was thought
        self._api = ApiClient(transport, self)

    async def sign(self, request: StoreRequest, refused: RejectedRequest | None = None) -> SignedRequest | None:
        address = parse_address(request.url) if request.query else object_of(request.url)
        if refused is None:
            return await self._sign_as(request, address, await self._login.get())
        old = refused.signed.lease
        assert isinstance(old, SigningContext)
        region = _region(refused.response)
        if region is not None and region != old.region:
            self._regions[address.bucket] = region
            return await self._sign_as(request, address, await self._login.get())
        ahead = clock_ahead(refused.response, self._now(), old.ahead)
        if ahead is not None:
            self._correct_clock(ahead)
            return await self._sign_as(request, address, await self._login.get())
        new = await self._login.get(refused=old.login)
        return None if new == old.login else await self._sign_as(request, address, new)

    def should_resign(self, response: StoreResponse) -> bool:
        if response.status in (401, 403):
            return not self._settings.anonymous
        return response.status in _ELSEWHERE and (_region(response) is not None or _ENDED.search(response.page) is not None)

    def error_for(self, request: StoreRequest, response: StoreResponse) -> FetchError:
        error = error_for(request.url, request.offset, response.status, response.headers, response.page)
        if response.status in (401, 403) and self._settings.anonymous:
            error.message += "; it was asked for without credentials"
        if is_skewed(response):
            error.message += "; the clock of this machine or of the service is wrong"
        return error

    def metadata(self, signed: SignedRequest, headers: Mapping[str, str]) -> ObjectMetadata:
        del signed
        return metadata_of(headers)

    async def list(self, prefix: str, *, deep: bool) -> AsyncIterator[str]:
        address = parse_address(prefix)
        query = {"list-type": "2", "encoding-type": "url", "prefix": address.key} | ({} if deep else {"delimiter": "/"})
        while True:
            response = await self._api.send(StoreRequest("GET", f"s3://{address.bucket}/", query=query))
            page = _parse(prefix, response.page)
            decode = unquote_plus if page.findtext("{*}EncodingType") == "url" else str
            for path in ("{*}Contents/{*}Key", "{*}CommonPrefixes/{*}Prefix"):
                for element in page.iterfind(path):
                    yield f"s3://{address.bucket}/{decode(element.text or '')}"
            token = page.findtext("{*}NextContinuationToken")
            if page.findtext("{*}IsTruncated") != "true" or not token:
                return
            query["continuation-token"] = token

    async def checksum(self, url: str) -> ObjectMetadata:
        """The checksum of a whole object, and the version that it is of. S3 does not tell it with ranges of the object."""
        response = await self._api.send(StoreRequest("HEAD", url, headers={"x-amz-checksum-mode": "ENABLED"}))
        return ObjectMetadata(metadata_of(response.headers).identity, stated_checksum(response.headers))

    def upload(self, url: str) -> MultipartUpload:
        object_of(url)  # an error now, not after a whole part was written
        return MultipartUpload(S3Parts(self._api, self, self._settings.part_bytes), url)

    async def aclose(self) -> None:
        try:
            await self._login.aclose()
        finally:
            self._thread.close()

    async def _sign_as(self, request: StoreRequest, address: ObjectAddress, who: Login) -> SignedRequest:
        context = SigningContext(who, self._regions.get(address.bucket, who.region), self._ahead)
        url = endpoint_url(address, who, context.region) + query_string(request)
        headers = dict(request.headers)
        if self._settings.requester_pays:
            headers["x-amz-request-payer"] = "requester"
        if who.keys is None:
            return SignedRequest(url, headers, context)
        sign = partial(authorize, request, url, headers, context, self._now())
        if len(request.body) < _OFF_LOOP:
            return SignedRequest(url, sign(), context)
        return SignedRequest(url, await self._thread.run(sign), context)

    def _correct_clock(self, ahead: float) -> None:
        if abs(ahead - self._ahead) > 1:  # others may have found out at the same time
            _LOG.warning("clocks differ: that of S3 is %+.0f s from this machine's; requests are signed by the former", ahead)
        self._ahead = ahead


def parse_address(url: str) -> ObjectAddress:
    """Bucket and key, both verbatim: `?` and `%` are characters like others. Raises SpecError without a bucket."""
    bucket, _, key = url.partition("://")[2].partition("/")
    if not bucket or bucket.startswith("arn:"):
        raise SpecError("s3://BUCKET/KEY names a bucket, or an access point by its alias", url=url)
    return ObjectAddress(bucket, key)


def object_of(url: str) -> ObjectAddress:
    address = parse_address(url)
    if not address.key:
        raise SpecError(f"this names a bucket, and no object in it; s3://{address.bucket}/ is the folder of its shards", url=url)
    return address


def endpoint_url(address: ObjectAddress, who: Login, region: str) -> str:
    """The URL of an object; without a key that of its bucket."""
    endpoint = who.endpoint or _amazon(who.service, region)
    key = quote(address.key, safe=SAFE)
    if not _is_virtual(address.bucket, who, endpoint):
        # Nothing is accelerated with the bucket in the path.
        endpoint = who.endpoint or _amazon(who.service.replace(ACCELERATED, "s3"), region)
        return f"{endpoint}/{quote(address.bucket, safe=SAFE)}/{key}"
    scheme, _, host = endpoint.partition("://")
    return f"{scheme}://{address.bucket}.{host}/{key}"


def _amazon(service: str, region: str) -> str:
    address = service if service.startswith(ACCELERATED) else f"{service}.{region}"
    return f"https://{address}.amazonaws.com" + (".cn" if region.startswith("cn-") else "")


def _is_virtual(bucket: str, who: Login, endpoint: str) -> bool:
    """Whether the bucket becomes a part of the host name: where that is wanted, and possible."""
    if who.addressing == "path" or (who.addressing == "auto" and who.endpoint is not None):
        return False
    # A certificate for *.HOST is none for a.b.HOST.
    labels = bucket.split(".") if endpoint.startswith("http:") else [bucket]
    return 3 <= len(bucket) <= 63 and all(map(_HOST_LABEL.fullmatch, labels)) and not _IP_ADDRESS.match(endpoint)


def query_string(request: StoreRequest) -> str:
    pairs = [f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in sorted(request.query.items())]
    return "?" + "&".join(pairs) if pairs else ""


def stated_checksum(headers: Mapping[str, str]) -> str | None:
    """The checksum of the bytes of a whole object: not one of the checksums of its parts, as uploads in parts often have."""
    if headers.get("x-amz-checksum-type", "FULL_OBJECT") != "FULL_OBJECT":
        return None
    values = {kind: headers.get(f"x-amz-checksum-{kind}") for kind in _CHECKSUMS}
    return next((checksum_of(kind, value) for kind, value in values.items() if value and "-" not in value), None)


def _region(response: StoreResponse) -> str | None:
    if response.status not in _ELSEWHERE:
        return None
    named = response.headers.get("x-amz-bucket-region")
    if named is not None:
        return named
    found = _REGION.search(response.page)
    return (found[1] or found[2]).decode() if found else None


def _parse(url: str, page: bytes) -> ET.Element:
    try:
        return ET.fromstring(page)  # noqa: S314 - expat bounds what entities may grow to
    except ET.ParseError as error:
        raise FetchError(f"the listing is no XML: {error}", url=url, retryable=True) from error
