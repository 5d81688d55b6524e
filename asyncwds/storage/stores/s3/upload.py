"""Uploads to S3 and what is compatible with it. Source: "Amazon S3 API Reference" (CreateMultipartUpload and so on)."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from asyncwds.errors import FetchError, NotFoundError
from asyncwds.storage.object_store import Signer, StoreRequest, StoreResponse
from asyncwds.storage.stores.api_client import ApiClient

_TYPE = {"Content-Type": "application/x-tar"}


class S3Parts:
    most_parts = 10_000

    def __init__(self, api: ApiClient, signer: Signer, part_bytes: int) -> None:
        self._api = api
        self._signer = signer
        self.part_bytes = part_bytes

    async def put(self, url: str, data: bytes) -> None:
        await self._api.send(StoreRequest("PUT", url, _TYPE, body=data))

    async def begin(self, url: str) -> str:
        response = await self._api.send(StoreRequest("POST", url, _TYPE, {"uploads": ""}))
        upload = _parse(url, response).findtext("{*}UploadId")
        if not upload:
            raise FetchError("the service began an upload without a number", url=url)
        return upload

    async def put_part(self, url: str, upload: str, number: int, data: bytes) -> str:
        response = await self._api.send(StoreRequest("PUT", url, query={"partNumber": str(number), "uploadId": upload}, body=data))
        if "ETag" not in response.headers:
            raise FetchError(f"the service gave part {number} no ETag", url=url)
        return response.headers["ETag"]

    async def complete(self, url: str, upload: str, tags: Sequence[str], size: int) -> None:
        parts = [
            f"<Part><PartNumber>{number}</PartNumber><ETag>{escape(tag)}</ETag></Part>" for number, tag in enumerate(tags, start=1)
        ]
        body = f"<CompleteMultipartUpload>{''.join(parts)}</CompleteMultipartUpload>".encode()
        request = StoreRequest("POST", url, {"Content-Type": "application/xml"}, {"uploadId": upload}, body)
        try:
            response = await self._api.send(request)
        except NotFoundError as error:
            # An answer that got lost is asked for again, but a completed upload is no more.
            if error.attempts > 1 and await self._is_there(url, len(tags), size):
                return
            raise
        # It may find out that it fails when status 200 was sent already, to keep the connection open.
        if _parse(url, response).tag.rpartition("}")[2] == "Error":
            raise self._signer.error_for(request, response)

    async def cancel(self, url: str, upload: str) -> None:
        await self._api.send(StoreRequest("DELETE", url, query={"uploadId": upload}))

    async def _is_there(self, url: str, parts: int, size: int) -> bool:
        found = (await self._api.send(StoreRequest("HEAD", url))).headers
        return found.get("Content-Length") == str(size) and found.get("ETag", "").strip('"').endswith(f"-{parts}")


def _parse(url: str, response: StoreResponse) -> ET.Element:
    try:
        # Blanks come before it where it took long. What entities may grow to is bounded by expat.
        return ET.fromstring(response.page.lstrip())  # noqa: S314
    except ET.ParseError as error:
        raise FetchError(f"the answer is no XML: {error}", url=url) from error
