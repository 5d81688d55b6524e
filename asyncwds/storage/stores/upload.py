"""Objects in buckets, written: `BucketSink` opens them; a `MultipartUpload` is put together out of parts, uploaded at once while
they are written. Imports aiohttp, so import it only when a URL needs it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from asyncwds.errors import FetchError, NotFoundError, SpecError
from asyncwds.runtime.counters import Counters
from asyncwds.runtime.event_loop import finished_soon
from asyncwds.settings.access import Access
from asyncwds.storage.http.transport import Transport
from asyncwds.storage.object_store import Uploader
from asyncwds.storage.sink import Upload

AT_ONCE = 4
"""Parts under way at a time, each in memory."""

_LOG = logging.getLogger("asyncwds.storage")


class Parts(Protocol):
    """How a store puts an object together. All methods raise FetchError, and try again themselves where that may help."""

    part_bytes: int
    """Size [bytes] of all parts but the last one."""
    most_parts: int

    async def put(self, url: str, data: bytes) -> None:
        """An object in one go."""
        ...

    async def begin(self, url: str) -> str:
        """The number of a new upload, which takes up room in the store until it is completed or cancelled."""
        ...

    async def put_part(self, url: str, upload: str, number: int, data: bytes) -> str:
        """What to name the part by in the end. Numbers begin at 1."""
        ...

    async def complete(self, url: str, upload: str, tags: Sequence[str], size: int) -> None:
        """Makes the object visible, out of parts 1, 2, … of together `size` [bytes]."""
        ...

    async def cancel(self, url: str, upload: str) -> None:
        """Drops all parts."""
        ...


class Unsent:
    """Bytes that were written and make no whole part yet."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._nbytes = 0

    def add(self, data: bytes, part_bytes: int) -> Iterator[bytes]:
        """Gives the parts that are whole then. The last one stays until more comes: an object ends with what is left."""
        self._pieces.append(data)
        self._nbytes += len(data)
        while self._nbytes > part_bytes:
            yield self._take(part_bytes)

    def take_all(self) -> bytes:
        return self._take(self._nbytes)

    def clear(self) -> None:
        self._pieces.clear()

    def _take(self, size: int) -> bytes:
        whole = b"".join(self._pieces)
        self._pieces = [whole[size:]] if len(whole) > size else []
        self._nbytes = len(whole) - size
        return whole[:size]


class MultipartUpload:
    """Keeps what makes no whole part yet and the parts under way in memory. What fits into one part is put in one go."""

    def __init__(self, parts: Parts, url: str) -> None:
        self._parts = parts
        self._url = url
        self._unsent = Unsent()
        self._sent = 0  # bytes of the parts that were begun
        self._room = asyncio.Semaphore(AT_ONCE)
        self._begun: asyncio.Task[str] | None = None
        self._tasks: list[asyncio.Task[str]] = []
        self._over = False

    async def write(self, data: bytes) -> None:
        for part in self._unsent.add(data, self._parts.part_bytes):
            await self._send(part)

    async def commit(self) -> None:
        last = self._unsent.take_all()
        if self._begun is None:
            await self._parts.put(self._url, last)
        else:
            await self._send(last)
            tags = await asyncio.gather(*self._tasks)
            await self._parts.complete(self._url, await self._begun, tags, self._sent)
        self._over = True

    async def abort(self) -> None:
        if self._over:
            return
        self._over = True
        self._unsent.clear()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        if self._begun is not None:
            await self._cancel(self._begun)

    async def _send(self, data: bytes) -> None:
        """Begins with a part, once there is room. Raises what a part failed with before."""
        if len(self._tasks) == self._parts.most_parts:
            size = f"{self._parts.most_parts} parts of {self._parts.part_bytes} bytes"
            raise SpecError(f"an object has at most {size}; set a larger part_bytes", url=self._url)
        if self._begun is None:
            self._begun = asyncio.create_task(self._parts.begin(self._url))
        # Shielded: the number of an upload that was begun must not get lost.
        upload = await asyncio.shield(self._begun)
        await self._room.acquire()
        self._raise_failure()
        self._sent += len(data)
        self._tasks.append(asyncio.create_task(self._put(upload, len(self._tasks) + 1, data)))

    async def _put(self, upload: str, number: int, data: bytes) -> str:
        try:
            return await self._parts.put_part(self._url, upload, number, data)
        finally:
            self._room.release()

    def _raise_failure(self) -> None:
        failed = next((task for task in self._tasks if task.done() and not task.cancelled() and task.exception()), None)
        if failed is not None:
            self._room.release()
            failed.result()

    async def _cancel(self, begun: asyncio.Task[str]) -> None:
        if not await finished_soon(begun):
            return
        try:
            await self._parts.cancel(self._url, await begun)
        except NotFoundError:
            pass  # it is complete, after all
        except FetchError as error:
            if begun.exception() is None:
                _LOG.warning("an upload could not be cancelled, and its parts take up room until the bucket drops them: %s", error)


class BucketSink:
    """Uploads to a store that `make_store` makes."""

    def __init__(self, access: Access, make_store: Callable[[Transport], Uploader]) -> None:
        self._transport = Transport(access, Counters(), logins=False)
        self._store = make_store(self._transport)

    async def open(self, url: str) -> Upload:
        return self._store.upload(url)

    async def aclose(self) -> None:
        try:
            await self._store.aclose()
        finally:
            await self._transport.aclose()
