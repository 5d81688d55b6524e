"""Uploads to Azure Blob Storage. Source: "Blob service REST API" (Put Blob, Put Block, Put Block List)."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from uuid import uuid4

from asyncwds.storage.object_store import StoreRequest
from asyncwds.storage.stores.api_client import ApiClient

_TYPE = {"x-ms-blob-content-type": "application/x-tar"}


class AzureParts:
    most_parts = 50_000

    def __init__(self, api: ApiClient, part_bytes: int) -> None:
        self._api = api
        self.part_bytes = part_bytes

    async def put(self, url: str, data: bytes) -> None:
        await self._api.send(StoreRequest("PUT", url, {**_TYPE, "x-ms-blob-type": "BlockBlob"}, body=data))

    async def begin(self, url: str) -> str:
        """Nothing has to be begun: blocks have names of their own, which no other upload to the same blob must have."""
        del url
        return uuid4().hex

    async def put_part(self, url: str, upload: str, number: int, data: bytes) -> str:
        # Names of equal length are wanted.
        block = b64encode(f"{upload}-{number:06}".encode()).decode()
        await self._api.send(StoreRequest("PUT", url, query={"comp": "block", "blockid": block}, body=data))
        return block

    async def complete(self, url: str, upload: str, tags: Sequence[str], size: int) -> None:
        del upload, size
        body = f"<BlockList>{''.join(f'<Latest>{block}</Latest>' for block in tags)}</BlockList>".encode()
        await self._api.send(StoreRequest("PUT", url, _TYPE, {"comp": "blocklist"}, body))

    async def cancel(self, url: str, upload: str) -> None:
        """Blocks that no list names cannot be deleted: the service drops them after a week. Nobody sees them until then."""
