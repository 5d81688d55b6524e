"""Uploads to Google Cloud Storage. Source: "Resumable uploads" and "Objects: insert" of the JSON API."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable

from asyncwds.errors import FetchError
from asyncwds.runtime.event_loop import finished_soon
from asyncwds.storage.object_store import StoreRequest
from asyncwds.storage.stores.api_client import ApiClient
from asyncwds.storage.stores.upload import Unsent

_TYPE = {"Content-Type": "application/x-tar"}
_KEPT = re.compile(r"bytes=0-(\d+)")
_GONE = {404, 410, 499}  # the last one is what a session says that has just been cancelled
_LOG = logging.getLogger("asyncwds.storage")


class ResumableUpload:
    """One chunk goes out while the next one is collected; the service takes them in order only.

    A chunk that failed is sent again as it is: the service ignores bytes that it has already. `api_at` makes calls that go to
    one URL.
    """

    def __init__(self, url: str, key: str, api: ApiClient, api_at: Callable[[str], ApiClient], part_bytes: int) -> None:
        self._url = url
        self._key = key
        self._api = api
        self._api_at = api_at
        self._part_bytes = part_bytes
        self._unsent = Unsent()
        self._begun = 0  # bytes of the chunks that were begun with
        self._session: asyncio.Task[ApiClient] | None = None
        self._chunk: asyncio.Task[None] | None = None
        self._over = False

    async def write(self, data: bytes) -> None:
        for part in self._unsent.add(data, self._part_bytes):
            await self._send(part)

    async def commit(self) -> None:
        last = self._unsent.take_all()
        if self._chunk is None:
            query = {"uploadType": "media", "name": self._key}
            await self._api.send(StoreRequest("POST", self._url, _TYPE, query, last))
        else:
            total = self._begun + len(last)
            await self._send(last, total)
            await self._chunk
        self._over = True

    async def abort(self) -> None:
        if self._over:
            return
        self._over = True
        self._unsent.clear()
        if self._chunk is not None:
            self._chunk.cancel()
            await asyncio.wait([self._chunk])
        if self._session is not None:
            await self._cancel(self._session)

    async def _send(self, data: bytes, total: int | None = None) -> None:
        """Begins with a chunk when the one before has arrived. Raises what that failed with."""
        if self._chunk is not None:
            await self._chunk
        if self._session is None:
            self._session = asyncio.create_task(self._begin())
        begin = self._begun
        self._begun += len(data)
        self._chunk = asyncio.create_task(self._put(begin, data, total))

    async def _begin(self) -> ApiClient:
        """Calls to a new session."""
        query = {"uploadType": "resumable", "name": self._key}
        response = await self._api.send(StoreRequest("POST", self._url, {"X-Upload-Content-Type": _TYPE["Content-Type"]}, query))
        if "Location" not in response.headers:
            raise FetchError("the service began an upload that is nowhere (no Location header)", url=self._url)
        return self._api_at(response.headers["Location"])

    async def _put(self, begin: int, data: bytes, total: int | None) -> None:
        assert self._session is not None
        # Shielded: the session must not get lost.
        session = await asyncio.shield(self._session)
        kept, end = begin, begin + len(data)
        while kept < end:
            headers = {"Content-Range": f"bytes {kept}-{end - 1}/{'*' if total is None else total}"}
            request = StoreRequest("PUT", self._url, headers, body=data[kept - begin :], follow=False, offset=kept)
            response = await session.send(request)
            if response.status != 308:
                return
            found = _KEPT.fullmatch(response.headers.get("Range", ""))
            position = int(found[1]) + 1 if found else 0
            if not kept < position <= end:
                message = f"the service has {position} bytes of the upload after bytes {kept} to {end} were sent"
                raise FetchError(message, url=self._url, offset=kept)
            kept = position
        if total is not None:
            raise FetchError("the service has all bytes of the upload, but does not say that it is complete", url=self._url)

    async def _cancel(self, session: asyncio.Task[ApiClient]) -> None:
        if not await finished_soon(session):
            return
        try:
            await (await session).send(StoreRequest("DELETE", self._url))
        except FetchError as error:
            if session.exception() is None and error.status not in _GONE:
                _LOG.warning("an upload could not be cancelled; the service drops it after a week: %s", error)
