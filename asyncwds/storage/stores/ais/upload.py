"""Uploads to AIStore. Source: AIStore's "HTTP API", and its Python SDK for multipart uploads, which servers have from 4.0 on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from asyncwds.errors import FetchError
from asyncwds.storage.object_store import StoreRequest
from asyncwds.storage.stores.api_client import ApiClient

_JSON = {"Content-Type": "application/json"}
_TAR = {"Content-Type": "application/x-tar"}


class AisParts:
    most_parts = 10_000

    def __init__(self, api: ApiClient, part_bytes: int) -> None:
        self._api = api
        self.part_bytes = part_bytes

    async def put(self, url: str, data: bytes) -> None:
        await self._api.send(StoreRequest("PUT", url, _TAR, body=data))

    async def begin(self, url: str) -> str:
        response = await self._api.send(_action("POST", url, {}, "mpt-upload"))
        upload = response.page.decode("ascii", "replace").strip().strip('"')
        if not upload:
            raise FetchError("the cluster began an upload without a number", url=url)
        return upload

    async def put_part(self, url: str, upload: str, number: int, data: bytes) -> str:
        query = {"uploadId": upload, "partNumber": str(number)}
        await self._api.send(StoreRequest("PUT", url, _TAR, query, data))
        return ""

    async def complete(self, url: str, upload: str, tags: Sequence[str], size: int) -> None:
        del size
        parts = [{"part-number": number, "etag": tag} for number, tag in enumerate(tags, start=1)]
        await self._api.send(_action("POST", url, {"uploadId": upload}, "mpt-complete", parts))

    async def cancel(self, url: str, upload: str) -> None:
        await self._api.send(_action("DELETE", url, {"uploadId": upload}, "mpt-abort"))


def _action(method: str, url: str, query: dict[str, str], action: str, value: Any = None) -> StoreRequest:
    body = json.dumps({"action": action, "name": "", "value": value}).encode()
    return StoreRequest(method, url, _JSON, query, body)
