"""Reads samples whose places are known: of local files at once, of all else by ranges, many at a time."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from asyncwds.bridges.loop_calls import LoopCalls
from asyncwds.engine.opener_table import is_own
from asyncwds.engine.openers import open_fetcher
from asyncwds.errors import ChangedError, StaleIndexError
from asyncwds.index.index import Index, ShardIndex
from asyncwds.index.parsing import SampleParser, stale
from asyncwds.index.spans import ByteSpan, Wanted, join_close
from asyncwds.runtime.counters import Counters
from asyncwds.runtime.event_loop import run_together
from asyncwds.runtime.security import require_local
from asyncwds.runtime.units import MiB
from asyncwds.runtime.worker_info import FORKS
from asyncwds.samples import Sample
from asyncwds.settings.access import Access
from asyncwds.settings.reading import Cache
from asyncwds.shards.urls import local_path, rewritten
from asyncwds.storage.base import Fetcher, ObjectRange
from asyncwds.storage.local.readiness import translate_os_error

LARGEST_SPAN = 8 * MiB


@dataclass(frozen=True)
class Places:
    """How samples are read by their places.

    connections  requests at a time
    gap          samples that lie at most so many [bytes] apart in a shard come by one request
    """

    access: Access
    fetcher: Callable[[], Fetcher] | None
    cache: Cache | None
    connections: int
    gap: int


class SampleReader:
    """The samples of an index, by their numbers. What it has open is a process's own: after a fork, or a pickle, it begins anew."""

    def __init__(self, index: Index, places: Places, parser: SampleParser) -> None:
        self.index = index
        self._places = places
        self._parser = parser
        self.counters = Counters()
        self._files = LocalFiles()
        self._calls: LoopCalls[Fetcher] | None = None
        self._forks = FORKS.number
        self._paths = [self._local_path(shard.url) for shard in index.shards]

    def __getstate__(self) -> dict[str, Any]:
        return {"index": self.index, "places": self._places, "parser": self._parser}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def read(self, numbers: Sequence[int]) -> list[Sample]:
        """The samples in the order of their numbers, each of which is in [0, len(index)).

        Raises StaleIndexError where a shard is not what it was, and what reading a shard raises.
        """
        return self.start(numbers)()

    def start(self, numbers: Sequence[int]) -> Callable[[], list[Sample]]:
        """The same, without waiting for what is fetched: what is returned does, and reads what is local."""
        self._begin_in_this_process()
        local: list[tuple[Wanted, str]] = []
        remote: list[Wanted] = []
        for place, number in enumerate(numbers):
            shard, row = self.index.locate(number)
            wanted = Wanted(shard, *self.index.shards[shard].columns.span(row), place, row)
            path = self._paths[shard]
            if path is None:
                remote.append(wanted)
            else:
                local.append((wanted, path))
        spans = join_close(remote, self._places.gap, LARGEST_SPAN)
        return partial(self._finish, local, spans, self._fetch(spans) if spans else list)

    def _finish(self, local: list[tuple[Wanted, str]], spans: list[ByteSpan], fetched: Callable[[], list[bytes]]) -> list[Sample]:
        found: dict[int, Sample] = {}
        for wanted, path in local:
            data = self._files.read(path, self.index.shards[wanted.shard], wanted.start, wanted.stop)
            found[wanted.place] = self._parse(wanted, data, path)
        for span, data in zip(spans, fetched(), strict=True):
            for wanted in span.samples:
                found[wanted.place] = self._parse(wanted, data[wanted.start - span.start : wanted.stop - span.start], None)
        return [found[place] for place in range(len(found))]

    def close(self) -> None:
        """Closes files and connections. It can be used again."""
        calls, self._calls = self._calls, None
        if calls is not None and self._forks == FORKS.number:
            calls.close()
        self._files = LocalFiles()

    def _begin_in_this_process(self) -> None:
        if self._forks != FORKS.number:  # descriptors may be shared, a loop may not
            self._calls, self._files, self._forks = None, LocalFiles(), FORKS.number

    def _local_path(self, url: str) -> str | None:
        places = self._places
        others = places.fetcher is not None or (places.cache is not None and places.cache.local)
        if others or not is_own("file") or not is_own(""):
            return None
        return local_path(rewritten(url))

    def _parse(self, wanted: Wanted, data: bytes, path: str | None) -> Sample:
        return self._parser.parse(data, self.index.shards[wanted.shard], wanted.shard, wanted.row, path)

    def _fetch(self, spans: list[ByteSpan]) -> Callable[[], list[bytes]]:
        if self._calls is None:
            self._calls = LoopCalls(partial(_open_fetcher, self._places, self.counters))
        return self._calls.start(partial(self._fetch_spans, spans))

    async def _fetch_spans(self, spans: list[ByteSpan], fetcher: Fetcher) -> list[bytes]:
        limit = asyncio.Semaphore(self._places.connections)
        return await run_together(self._fetch_span(span, fetcher, limit) for span in spans)

    async def _fetch_span(self, span: ByteSpan, fetcher: Fetcher, limit: asyncio.Semaphore) -> bytes:
        shard = self.index.shards[span.shard]
        async with limit:
            try:
                async with fetcher.open(ObjectRange(shard.url, span.start, span.stop, shard.identity)) as body:
                    if None not in (shard.size, body.answer.total) and shard.size != body.answer.total:
                        raise stale(shard, None, f"{shard.size} bytes", f"{body.answer.total} bytes")
                    begin = span.start - body.answer.start
                    data = b"".join([bytes(chunk) async for chunk in body])
                    return data[begin : begin + span.stop - span.start]
            except StaleIndexError:
                raise
            except ChangedError as error:
                found = await _identity(fetcher, shard.url)
                raise stale(shard, None, f"the ETag {shard.identity}", found) from error


async def _identity(fetcher: Fetcher, url: str) -> str:
    async with fetcher.open(ObjectRange(url, 0, 1)) as body:
        return f"the ETag {body.answer.identity} of {body.answer.total} bytes"


@asynccontextmanager
async def _open_fetcher(places: Places, counters: Counters) -> AsyncIterator[Fetcher]:
    fetcher = open_fetcher(places.access, counters, places.cache, places.fetcher)
    try:
        yield fetcher
    finally:
        await fetcher.aclose()


MOST_OPEN = 64


class _File:
    """An open file, closed when nobody refers to it: a thread may read while another one has it dropped."""

    def __init__(self, path: str) -> None:
        self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.size = os.fstat(self.descriptor).st_size

    def __del__(self) -> None:
        if hasattr(self, "descriptor"):
            os.close(self.descriptor)


class LocalFiles:
    """The files that were opened last stay open."""

    def __init__(self) -> None:
        self._open: dict[str, _File] = {}

    def read(self, path: str, shard: ShardIndex, start: int, stop: int) -> bytes:
        """Bytes [start, stop), or up to the end. Raises StaleIndexError for a file of another size, FetchError where it fails."""
        try:
            file = self._open.get(path) or self._add(path)
        except OSError as error:
            raise translate_os_error(error, shard.url) from error
        if shard.size not in (None, file.size):
            raise stale(shard, None, f"{shard.size} bytes", f"{file.size} bytes")
        try:
            data = os.pread(file.descriptor, stop - start, start)
            while 0 < len(data) < stop - start and (more := os.pread(file.descriptor, stop - start - len(data), start + len(data))):
                data += more
        except OSError as error:
            raise translate_os_error(error, shard.url, start) from error
        return data

    def _add(self, path: str) -> _File:
        require_local("shards are not read from local files", path)
        if len(self._open) >= MOST_OPEN:
            del self._open[next(iter(self._open))]
        file = self._open[path] = _File(path)
        return file
