"""Bytes of fields, straight from their shards: whole ones, that are kept for a while, and parts of large ones as they come."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Coroutine, Iterable
from contextlib import aclosing
from typing import Any

from asyncwds.errors import SpecError, StaleIndexError
from asyncwds.index.columns import Field
from asyncwds.runtime.units import KiB, MiB
from asyncwds.storage.base import Fetcher, ObjectRange, crop
from asyncwds.tar import headers
from asyncwds.viewer.catalog import Place

LARGEST = 64 * MiB  # of what is read as a whole
AHEAD = MiB  # what is at most as large is read before it is asked for
KEPT = 128 * MiB
AT_ONCE = 32  # requests
GAP = 16 * KiB  # [bytes] that are read along where what is wanted lies at both ends
RUN = 512 * KiB  # [bytes] at most of several by one request

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
        self._runs: set[asyncio.Task[bytes]] = set()

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
        """Begins to read the small ones of these; those that lie close in a shard come by one request."""
        new = [each for each in wanted if each[1].size <= AHEAD and not self._has(each)]
        for run in _runs(new):
            reading = asyncio.create_task(self._read_run(run))
            self._runs.add(reading)
            reading.add_done_callback(self._runs.discard)
            for place, field in run:
                self._keep_task(place, field, self._cut(reading, run[0], (place, field)))

    async def stream(self, place: Place, field: Field, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        """Bytes [start, stop) of the field. With the first ones comes their header, which has to be that of this field."""
        lead = headers.BLOCK if start == 0 else 0
        head = b""
        async with aclosing(self._range(place, field.offset + start - lead, field.offset + stop)) as chunks:
            async for chunk in chunks:
                data = chunk
                if lead:
                    head += data
                    if len(head) < headers.BLOCK:
                        continue
                    check_header(head[: headers.BLOCK], place, field)
                    data, lead = head[headers.BLOCK :], 0
                if data:
                    yield data

    async def _range(self, place: Place, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        """Bytes [start, stop) of its shard."""
        entry = place.entry
        async with self._fetcher.open(ObjectRange(entry.source, start, stop, entry.identity)) as body:
            if None not in (entry.size, body.answer.total) and entry.size != body.answer.total:
                raise _stale(place, f"{entry.size} bytes", f"{body.answer.total} bytes")
            async with aclosing(crop(body, start, stop)) as chunks:
                async for chunk in chunks:
                    yield bytes(chunk)

    async def aclose(self) -> None:
        tasks = [*self._runs, *self._reading.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _has(self, wanted: Wanted) -> bool:
        name = wanted[0].number, wanted[1].offset
        return name in self._kept or name in self._reading

    def _task(self, place: Place, field: Field) -> asyncio.Task[bytes]:
        name = place.number, field.offset
        return self._reading.get(name) or self._keep_task(place, field, self._read(place, field))

    def _keep_task(self, place: Place, field: Field, work: Coroutine[Any, Any, bytes]) -> asyncio.Task[bytes]:
        name = place.number, field.offset
        task = self._reading[name] = asyncio.create_task(work)
        task.add_done_callback(lambda done: self._done(name, done))
        return task

    async def _read(self, place: Place, field: Field) -> bytes:
        async with self._limit, aclosing(self.stream(place, field, 0, field.size)) as chunks:
            return b"".join([chunk async for chunk in chunks])

    async def _read_run(self, run: list[Wanted]) -> bytes:
        place, first = run[0]
        last = run[-1][1]
        async with self._limit, aclosing(self._range(place, first.offset - headers.BLOCK, last.offset + last.size)) as chunks:
            return b"".join([chunk async for chunk in chunks])

    async def _cut(self, reading: asyncio.Task[bytes], first: Wanted, wanted: Wanted) -> bytes:
        """A field of those that were read together."""
        data = await asyncio.shield(reading)
        place, field = wanted
        begin = field.offset - first[1].offset
        check_header(data[begin : begin + headers.BLOCK], place, field)
        return data[begin + headers.BLOCK : begin + headers.BLOCK + field.size]

    def _done(self, name: tuple[int, int], task: asyncio.Task[bytes]) -> None:
        del self._reading[name]
        if task.cancelled() or task.exception() is not None:
            return
        self._kept[name] = task.result()
        self._room -= len(task.result())
        while self._room < 0:
            _, dropped = self._kept.popitem(last=False)
            self._room += len(dropped)


def _runs(wanted: Iterable[Wanted]) -> list[list[Wanted]]:
    """Those that lie close in a shard together."""
    runs: list[list[Wanted]] = []
    for place, field in sorted(wanted, key=lambda each: (each[0].number, each[1].offset)):
        last = runs[-1] if runs else None
        near = last is not None and last[-1][0].entry is place.entry
        if last is None or not near or not _fits(last[0][1], last[-1][1], field):
            runs.append([(place, field)])
        else:
            last.append((place, field))
    return runs


def _fits(first: Field, last: Field, field: Field) -> bool:
    return field.offset - last.end <= GAP and field.offset + field.size - first.offset <= RUN


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
