"""Bytes of fields, straight from their shards: whole ones, that are kept for a while, and parts of large ones as they come."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing

from asyncwds.errors import SpecError, StaleIndexError
from asyncwds.index.columns import Field
from asyncwds.runtime.units import MiB
from asyncwds.storage.base import Fetcher, ObjectRange
from asyncwds.storage.body import crop
from asyncwds.tar import headers
from asyncwds.viewer.catalog import Place

LARGEST = 64 * MiB  # of what is read as a whole
AHEAD = MiB  # what is at most as large is read before it is asked for
KEPT = 128 * MiB
AT_ONCE = 32  # requests

_NAME = 100  # [bytes] longer ones stand elsewhere
_HUGE = 8 << 30  # [bytes] larger sizes too

Wanted = tuple[Place, Field]


class FieldReader:
    """One event loop's. Whoever asks for the same field meanwhile waits for the same request."""

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher
        self._limit = asyncio.Semaphore(AT_ONCE)
        self._kept: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self._room = KEPT
        self._reading: dict[tuple[int, int], asyncio.Task[bytes]] = {}
        self._ahead: asyncio.Task[None] | None = None

    async def whole(self, place: Place, field: Field) -> bytes:
        """Raises SpecError for a field that is too large to be shown, StaleIndexError, and what fetching raises."""
        if field.size > LARGEST:
            raise SpecError(f"of {field.size} bytes: fields above {LARGEST} are for saving only", key=place.row.key)
        name = place.number, field.offset
        if name in self._kept:
            self._kept.move_to_end(name)
            return self._kept[name]
        return await asyncio.shield(self._task(place, field))

    async def beginning(self, place: Place, field: Field, most: int) -> bytes:
        """The first bytes, at most so many."""
        if field.size <= max(most, AHEAD):
            return (await self.whole(place, field))[:most]
        async with self._limit, aclosing(self.stream(place, field, 0, most)) as chunks:
            return b"".join([chunk async for chunk in chunks])

    def read_ahead(self, wanted: Iterable[Wanted]) -> None:
        """Begins to read these, the small ones, in place of those that were to be read before."""
        if self._ahead is not None:
            self._ahead.cancel()
        small = [(place, field) for place, field in wanted if field.size <= AHEAD]
        self._ahead = asyncio.create_task(self._read_all(small))

    async def stream(self, place: Place, field: Field, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        """Bytes [start, stop) of the field. With the first ones comes their header, which has to be that of this field."""
        entry = place.entry
        lead = headers.BLOCK if start == 0 else 0
        wanted = ObjectRange(entry.source, field.offset + start - lead, field.offset + stop, entry.identity)
        async with self._fetcher.open(wanted) as body:
            if None not in (entry.size, body.answer.total) and entry.size != body.answer.total:
                raise _stale(place, f"{entry.size} bytes", f"{body.answer.total} bytes")
            head = b""
            async with aclosing(crop(body, wanted.start, wanted.stop)) as chunks:
                async for chunk in chunks:
                    data = bytes(chunk)
                    if lead:
                        head += data
                        if len(head) < headers.BLOCK:
                            continue
                        check_header(head[: headers.BLOCK], place, field)
                        data, head, lead = head[headers.BLOCK :], b"", 0
                    if data:
                        yield data

    async def aclose(self) -> None:
        tasks = [task for task in (self._ahead, *self._reading.values()) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _read_all(self, wanted: list[Wanted]) -> None:
        await asyncio.gather(*[self.whole(place, field) for place, field in wanted], return_exceptions=True)

    def _task(self, place: Place, field: Field) -> asyncio.Task[bytes]:
        name = place.number, field.offset
        if name not in self._reading:
            task = self._reading[name] = asyncio.create_task(self._read(place, field))
            task.add_done_callback(lambda done: self._done(name, done))
        return self._reading[name]

    async def _read(self, place: Place, field: Field) -> bytes:
        async with self._limit, aclosing(self.stream(place, field, 0, field.size)) as chunks:
            return b"".join([chunk async for chunk in chunks])

    def _done(self, name: tuple[int, int], task: asyncio.Task[bytes]) -> None:
        del self._reading[name]
        if task.cancelled() or task.exception() is not None:
            return
        self._kept[name] = task.result()
        self._room -= len(task.result())
        while self._room < 0:
            _, dropped = self._kept.popitem(last=False)
            self._room += len(dropped)


def check_header(header: bytes, place: Place, field: Field) -> None:
    """That the header before a field is the one that the index is of. Raises StaleIndexError."""
    name = f"{place.row.key}.{field.suffix}".encode("utf-8", "surrogateescape")
    if header[headers.TYPEFLAG] != headers.PLAIN or field.size >= _HUGE:
        return  # of other kinds the size, or the name, stands elsewhere
    found = headers.until_nul(header[:_NAME])
    fits = len(name) >= _NAME or header[headers.PREFIX] != 0 or found == name
    try:
        size = headers.number(header[headers.SIZE])
    except ValueError:
        size = -1
    if not fits or size != field.size:
        raise _stale(place, f"{headers.text(name)!r} of {field.size} bytes", f"{headers.text(found)!r} of {size} bytes")


def _stale(place: Place, indexed: str, found: str) -> StaleIndexError:
    error = StaleIndexError(
        f"the index does not fit this shard any more: it has {indexed}, and found was {found}; `asyncwds index` makes it anew",
        url=place.entry.url,
        offset=place.row.offset,
        key=place.row.key,
    )
    error.indexed, error.found = indexed, found
    return error
