"""`open_samples`: the asynchronous way to read, on the caller's own event loop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from os import PathLike
from typing import Literal

from asyncwds import checks
from asyncwds.engine.blocks import Block
from asyncwds.engine.source import Source
from asyncwds.engine.stream import BlockStream
from asyncwds.runtime.counters import Counters
from asyncwds.runtime.handlers import Handler, reraise_exception
from asyncwds.runtime.stats import Stats
from asyncwds.runtime.worker_info import WorkerInfo
from asyncwds.samples import Sample
from asyncwds.settings.access import Http, Retry, Settings, Storage
from asyncwds.settings.reading import Cache, Prefetch, as_prefetch
from asyncwds.shards.patterns import expand
from asyncwds.shards.plan import split_by_node
from asyncwds.shards.urls import UrlList
from asyncwds.storage.base import Fetcher
from asyncwds.storage.matching import listed
from asyncwds.storage.schemes import as_access


class Samples(AsyncIterator[Sample]):
    """An open stream of samples on the caller's own loop. Made by `open_samples`."""

    def __init__(self, source: Source, stream: BlockStream, counters: Counters) -> None:
        self._source = source
        self._stream = stream
        self._counters = counters
        self._block: Iterator[Sample] = iter(())
        self._last: Block | None = None

    def __aiter__(self) -> Samples:
        return self

    async def __anext__(self) -> Sample:
        for sample in self._block:
            return sample
        return await self._next()

    async def _next(self) -> Sample:
        while self._last is None or self._source.handle_error(self._last, self._counters):
            self._counters.taken = self._counters.given
            with self._counters.waiting():
                self._last = await self._stream.next_block()
            if self._last is None:
                break
            self._counters.samples += len(self._last.samples)
            self._counters.given += self._last.nbytes
            self._block = iter(self._last.samples)
            for sample in self._block:
                return sample
        self._source.check_not_empty(self._counters)
        raise StopAsyncIteration

    def stats(self) -> Stats:
        return self._counters.snapshot()


def open_samples(
    urls: str | PathLike[str] | Iterable[str | PathLike[str]],
    *,
    prefetch: int | Literal["auto"] | Prefetch | None = None,
    retry: Retry | None = None,
    http: Http | None = None,
    storage: Storage | Settings | None = None,
    handler: Handler = reraise_exception,
    shardshuffle: int = 0,
    seed: int = 0,
    epoch: int = 0,
    place: WorkerInfo | None = None,
    select_files: Callable[[str], bool] | None = None,
    rename_files: Callable[[str], str] | None = None,
    fetcher: Callable[[], Fetcher] | None = None,
    cache: Cache | None = None,
    verify: bool = True,
    strict: bool = False,
) -> AbstractAsyncContextManager[Samples]:
    """Streams samples on the caller's own event loop, with no thread of asyncwds's own between (files are read in a few).

        async with open_samples("https://host/train-{000..099}.tar") as samples:
            async for sample in samples: ...

    Without `place` every shard is read; with it the shards are split by node, then by worker. Entering raises
    SpecError for urls that make no sense; iterating raises FetchError, TarError and SampleError, unless `handler`
    goes on; with `strict` also for what is otherwise a ShardWarning. Shards are compared with the checksums that manifests list
    or their stores keep, unless `verify` is False. Leaving the context closes everything, also in the middle.
    """
    checks.instance("place", place, WorkerInfo, optional=True)
    expanded = expand(urls)
    source = Source(
        urls=expanded,
        seed=checks.whole("seed", seed),
        shardshuffle=shardshuffle,
        nodesplitter=split_by_node,
        prefetch=as_prefetch(prefetch),
        access=as_access(http, retry, storage),
        handler=handler,
        select_files=select_files,
        rename_files=rename_files,
        fetcher=fetcher,
        cache=cache,
        verify=verify,
        strict=strict,
    )
    return _open_samples(source, expanded, checks.whole("epoch", epoch), place or WorkerInfo())


@asynccontextmanager
async def _open_samples(source: Source, urls: UrlList, epoch: int, place: WorkerInfo) -> AsyncIterator[Samples]:
    counters = Counters()
    if source.fetcher is None:
        found = await listed(urls, source.access)
        source = replace(source, urls=found.urls, records=found.records)
    try:
        async with source.open(epoch, place, counters) as stream:
            yield Samples(source, stream, counters)
    finally:
        counters.end()
