"""`az://container/blob`, `abfs[s]://container@account.dfs.core.windows.net/blob`: Azure Blob Storage.

Sources: "Blob service REST API" (Get Blob, List Blobs, versions), and for `abfs` "Use the Azure Data Lake Storage URI". Blobs are
read by the blob service, also where accounts have folders (dfs). It has no ranges that are counted from the end.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from email.utils import formatdate
from functools import partial
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, unquote, urlencode
from xml.etree import ElementTree as ET

from asyncwds.errors import AccessError, FetchError, SpecError
from asyncwds.storage.http.translate import error_for
from asyncwds.storage.http.transport import Transport
from asyncwds.storage.object_store import RejectedRequest, SignedRequest, StoreRequest, StoreResponse
from asyncwds.storage.ranges import ObjectMetadata, metadata_of
from asyncwds.storage.sink import Upload
from asyncwds.storage.stores.api_client import ApiClient
from asyncwds.storage.stores.auth import TokenCache
from asyncwds.storage.stores.azure.auth import Login, login, shared_key
from asyncwds.storage.stores.azure.upload import AzureParts
from asyncwds.storage.stores.upload import MultipartUpload

if TYPE_CHECKING:
    from asyncwds.storage.stores.azure.scheme import Azure

VERSION = "2021-12-02"
_SAFE = "/-_.~"
_URL = re.compile(
    r"(?:az|abfss?)://(?P<container>[^/@]+)(?:@(?P<account>[^./]+)\.(?:dfs|blob)\.(?P<suffix>[^/]+))?(?:/(?P<blob>.*))?",
    re.DOTALL | re.IGNORECASE,
)


class ObjectAddress(NamedTuple):
    """`account` and `suffix` ("core.windows.net") of urls that name them; `blob` is verbatim."""

    account: str | None
    suffix: str | None
    container: str
    blob: str


class AzureStore:
    def __init__(self, settings: Azure, transport: Transport) -> None:
        self._login = TokenCache(partial(login, settings))
        self._anonymous = settings.anonymous
        self._part_bytes = settings.part_bytes
        self._api = ApiClient(transport, self)

    async def sign(self, request: StoreRequest, refused: RejectedRequest | None = None) -> SignedRequest | None:
        if refused is None:
            return _sign_as(request, await self._login.get())
        old = refused.signed.lease
        assert isinstance(old, Login)
        new = await self._login.get(refused=old)
        return None if new == old else _sign_as(request, new)

    def should_resign(self, response: StoreResponse) -> bool:
        return response.status in (401, 403) and not self._anonymous

    def error_for(self, request: StoreRequest, response: StoreResponse) -> FetchError:
        error = error_for(request.url, request.offset, response.status, response.headers, response.page)
        if response.status == 409 and b"PublicAccessNotPermitted" in response.page:
            error = AccessError(error.message, url=request.url, offset=request.offset, status=409)
        if self._anonymous and response.status in (401, 403, 404, 409):
            error.message += "; it was asked for without credentials"
        return error

    def metadata(self, signed: SignedRequest, headers: Mapping[str, str]) -> ObjectMetadata:
        del signed
        return metadata_of(headers)

    async def list(self, prefix: str, *, deep: bool) -> AsyncIterator[str]:
        address = parse_address(prefix)
        root = prefix.removesuffix(address.blob).rstrip("/") + "/"
        query = {"restype": "container", "comp": "list", "prefix": address.blob} | ({} if deep else {"delimiter": "/"})
        while True:
            response = await self._api.send(StoreRequest("GET", root, query=query))
            page = _parse(prefix, response.page)
            for name in _names(page):
                yield root + name
            marker = page.findtext("NextMarker")
            if not marker:
                return
            query["marker"] = marker

    def upload(self, url: str) -> Upload:
        if not parse_address(url).blob:
            raise SpecError("this names no blob", url=url)
        return MultipartUpload(AzureParts(self._api, self._part_bytes), url)

    async def aclose(self) -> None:
        await self._login.aclose()


def parse_address(url: str) -> ObjectAddress:
    """Raises SpecError without a container."""
    found = _URL.fullmatch(url)
    if found is None:
        raise SpecError(
            "a blob is az://CONTAINER/BLOB or abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/BLOB, where / is the only separator",
            url=url,
        )
    return ObjectAddress(found["account"], found["suffix"], found["container"], found["blob"] or "")


def endpoint_url(url: str, address: ObjectAddress, who: Login) -> str:
    """The URL of a blob; without one that of its container. Raises SpecError where no account is known, or the wrong one."""
    account = address.account or who.account
    if address.account is not None and address.account != who.account:
        if who.way in ("key", "sas") and who.account is not None:
            raise SpecError(
                f"the credentials are those of the account {who.account}, not of {address.account}; give those of each account "
                "for its urls: storage={'abfss://CONTAINER@ACCOUNT…': Azure(...)}",
                url=url,
            )
        endpoint = f"https://{address.account}.blob.{address.suffix}"
    elif who.endpoint is not None:
        endpoint = who.endpoint
    elif account is not None:
        endpoint = f"https://{account}.blob.{address.suffix or who.suffix}"
    else:
        raise SpecError("the url names no account, nor do Azure(account=...) and AZURE_STORAGE_ACCOUNT_NAME", url=url)
    path = f"{endpoint}/{quote(address.container, safe=_SAFE)}"
    return f"{path}/{quote(address.blob, safe=_SAFE)}" if address.blob else path


def _sign_as(request: StoreRequest, who: Login) -> SignedRequest:
    address = parse_address(request.url)
    query = urlencode(request.query, quote_via=quote)
    if who.way == "sas":
        query = f"{query}&{who.secret}" if query else who.secret
    url = endpoint_url(request.url, address, who) + (f"?{query}" if query else "")
    headers = {**request.headers, "x-ms-version": VERSION}
    if who.way == "token":
        headers["Authorization"] = f"Bearer {who.secret}"
    elif who.way == "key":
        if request.method not in ("GET", "HEAD"):
            headers["Content-Length"] = str(len(request.body))
        headers["x-ms-date"] = formatdate(usegmt=True)
        account = address.account or who.account or ""
        headers["Authorization"] = shared_key(account, who.secret, request.method, url, headers)
    return SignedRequest(url, headers, who)


def _names(page: ET.Element) -> list[str]:
    """Names of blobs, and of folders with a slash at the end. Accounts with real folders list these among the blobs too."""
    blobs = [blob for blob in page.iterfind("Blobs/Blob") if blob.findtext("Properties/ResourceType") != "directory"]
    found = [element.find("Name") for element in [*blobs, *page.iterfind("Blobs/BlobPrefix")]]
    # What XML cannot hold is percent-encoded, and marked so.
    return [unquote(name.text or "") if name.get("Encoded") == "true" else name.text or "" for name in found if name is not None]


def _parse(url: str, page: bytes) -> ET.Element:
    try:
        return ET.fromstring(page)  # noqa: S314 - expat bounds what entities may grow to
    except ET.ParseError as error:
        raise FetchError(f"the listing is no XML: {error}", url=url, retryable=True) from error
