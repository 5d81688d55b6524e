"""Keeps what comes from elsewhere in a folder: `CachingFetcher`, a fetcher around a fetcher."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import replace

from asyncwds.errors import CacheError, FetchError, redact
from asyncwds.runtime.counters import Counters
from asyncwds.runtime.event_loop import run_to_completion
from asyncwds.settings.reading import Cache
from asyncwds.shards.urls import local_path
from asyncwds.storage.base import Answer, Body, ChunkBody, Fetcher, ObjectRange
from asyncwds.storage.cache.checks import is_shard_file
from asyncwds.storage.cache.complete import Whole, file_chunks, whole_chunks
from asyncwds.storage.cache.download import Download, Surroundings
from asyncwds.storage.cache.downloads import Partials
from asyncwds.storage.cache.folder import CacheFolder
from asyncwds.storage.cache.names import cached_url, name_in_cache, url_hash
from asyncwds.storage.cache.source import Ahead, Confirmations, remember
from asyncwds.storage.cache.threads import CacheThreads, Health
from asyncwds.storage.local.file import FileFetcher

_FULL = (errno.ENOSPC, errno.EDQUOT)
_TRIES = 3  # between two looks a shard may become whole, or be removed


class CachingFetcher:
    """Serves from `cache.dir` what is there, and keeps there what it fetches while that is read.

    Standard input passes through, and so do local files unless `cache.local`.

    patience    [s] how long others that fetch the same are waited for while nothing comes of it
    validator   called with the path of what has come whole: whether to keep it

    Where the cache fails, on a full disk for one, reading goes on without it until `aclose`, with one warning; failures are
    counted. Opening raises CacheError only if the folder is not there and cannot be made.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        cache: Cache,
        counters: Counters,
        *,
        patience: float = 20.0,
        validator: Callable[[str], bool] = is_shard_file,
    ) -> None:
        self._fetcher = fetcher
        self._cache = cache
        self._counters = counters
        self._folder = CacheFolder(cache)
        self._threads = CacheThreads(patience)
        self._files = FileFetcher(counters)
        self._health = Health(counters, str(self._folder.root))
        self._confirmations = Confirmations(fetcher)
        self._around = Surroundings(fetcher, counters, patience, self._confirmations.is_of, self._health.failed)
        self._partials = Partials(self._folder, self._threads, self._health, validator, sums=cache.checksums)
        self._ahead = Ahead(fetcher, self._has)
        self._seen: dict[str, Whole] = {}  # so that only the first part of a shard has to be looked up
        self._local: dict[str, str | None] = {}  # local files, and what `cached_url` says of them
        self._prepared = False
        self._distrusted: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def open(self, wanted: ObjectRange, *, buffer: memoryview | None = None) -> AsyncGenerator[Body, None]:
        async with AsyncExitStack() as stack:
            body: Body | None = None
            if (known_as := await self._cached_url(wanted.url)) is not None:
                body = await self._open_cached(stack, replace(wanted, url=known_as), buffer)
            if body is None:
                body = await stack.enter_async_context(self._fetcher.open(wanted, buffer=buffer))
            yield body

    def foresees(self, url: str) -> bool:
        """As `asyncwds.storage.base.AcceptsHints`."""
        return self._ahead.foresees(url)

    def upcoming(self, urls: Sequence[str]) -> None:
        """As `asyncwds.storage.base.AcceptsHints`."""
        self._ahead.upcoming(urls)

    def distrust(self, url: str) -> None:
        """As `asyncwds.storage.base.Distrusting`: it is removed, and fetched anew the next time that it is opened."""
        job = asyncio.create_task(self._remove(url))
        self._distrusted.add(job)
        job.add_done_callback(self._distrusted.discard)

    async def _remove(self, url: str) -> None:
        if (known_as := await self._cached_url(url)) is None:
            return
        name = name_in_cache(known_as, self._cache.url_to_name)
        try:
            await self._partials.ended(name)
            if (whole := await self._threads.run(self._folder.find, name)) is not None:
                self._seen.pop(name, None)
                await self._drop_damaged(whole)
        except CacheError as error:
            self._health.failed(error)

    async def aclose(self) -> None:
        async with AsyncExitStack() as stack:  # from the last to the first, whatever fails or is cancelled
            stack.push_async_callback(self._fetcher.aclose)
            stack.push_async_callback(self._files.aclose)
            stack.callback(self._threads.close)
            stack.push_async_callback(self._end_removals)
            stack.push_async_callback(self._partials.aclose)
            stack.push_async_callback(self._ahead.aclose)

    async def _end_removals(self) -> None:
        async def wait_for_all() -> None:
            if self._distrusted:
                await asyncio.wait(self._distrusted)

        await run_to_completion(wait_for_all())

    async def _cached_url(self, url: str) -> str | None:
        if local_path(url) is None or not self._cache.local:
            return cached_url(url, self._folder.root, local=False)
        if url not in self._local:
            remember(self._local, url, await self._threads.run(cached_url, url, self._folder.root, local=True))
        return self._local[url]

    async def _open_cached(self, stack: AsyncExitStack, wanted: ObjectRange, buffer: memoryview | None) -> Body | None:
        """A body that the cache has to do with; None if it has nothing and can keep nothing."""
        name = name_in_cache(wanted.url, self._cache.url_to_name)
        await self._prepare()
        try:
            for _ in range(_TRIES):
                if not self._partials.has(name) and (whole := await self._whole(name, wanted)) is not None:
                    if wanted.identity not in (None, whole.record.identity):
                        return None
                    if (body := await self._from_file(stack, wanted, whole)) is not None:
                        return body
                    self._seen.pop(name, None)
                    continue
                if not self._health.writable:
                    return None
                download = await self._partials.enter(stack, name, wanted.url, self._confirmations.is_of)
                if download is not None:
                    return await self._open_download(Download(self._around, download, wanted, buffer, stack))
        except CacheError as error:
            self._health.failed(error)
        return None

    async def _prepare(self) -> None:
        """Makes the folder. Raises CacheError where there can be none, which is no matter of room."""
        if self._prepared:
            return
        try:
            await self._threads.run(self._folder.prepare)
        except CacheError as error:
            reason = error.__cause__.errno if isinstance(error.__cause__, OSError) else None
            if reason not in _FULL and not self._folder.root.is_dir():
                raise
            self._health.failed(error)
        self._prepared = True

    async def _has(self, url: str) -> bool:
        return await self._threads.run(self._folder.find, name_in_cache(url, self._cache.url_to_name)) is not None

    # -- whole shards ---------------------------------------------------------------------------------------------

    async def _whole(self, name: str, wanted: ObjectRange) -> Whole | None:
        first = wanted.identity is None
        if not first and name in self._seen:
            return self._seen[name]
        whole = await self._threads.run(self._folder.find, name, use=first)
        if whole is None and first and self._cache.url_to_name is not None:
            whole = await self._adopt(name, wanted.url)
        elif whole is not None and not await self._is_trusted(whole, wanted.url):
            await self._threads.run_locked(self._folder.forget, whole)
            return None
        if whole is not None:
            remember(self._seen, name, whole)
        return whole

    async def _adopt(self, name: str, url: str) -> Whole | None:
        """A file that was put under the user's name for the URL by others, if it is as large as the source says."""
        size = await self._threads.run(self._folder.unrecorded, name)
        if size is None:
            return None
        async with self._fetcher.open(ObjectRange(url, 0, 1)) as body:
            answer = body.answer
        if answer.total != size:
            return None
        return await self._threads.run_locked(self._folder.adopt, name, redact(url), url_hash(url), answer.identity)

    async def _is_trusted(self, whole: Whole, url: str) -> bool:
        record = whole.record
        known = record.url_hash == url_hash(url) and not self._cache.revalidate
        return known or await self._confirmations.is_same(url, record.url_hash, record.size, record.identity)

    async def _from_file(self, stack: AsyncExitStack, wanted: ObjectRange, whole: Whole) -> Body | None:
        record = whole.record
        stop = record.size if wanted.stop is None else min(wanted.stop, record.size)
        try:
            file = await stack.enter_async_context(file_chunks(self._files, whole, wanted.start, stop))
        except FetchError:  # removed, or replaced, a moment ago
            return None

        async def refetch_damaged() -> str | None:
            await self._drop_damaged(whole)
            return record.identity

        chunks = whole_chunks(file, wanted, self._fetcher, self._counters, refetch_damaged)
        await stack.enter_async_context(aclosing(chunks))
        return ChunkBody(Answer(wanted.start, record.size, record.identity, ranged=True, path=whole.path), chunks)

    async def _drop_damaged(self, whole: Whole) -> None:
        self._health.damaged()
        self._folder.say(f"finds {whole.name} damaged")
        try:
            await self._threads.run_locked(self._folder.forget, whole)
        except CacheError as error:
            self._health.failed(error)

    # -- shards that are being downloaded -------------------------------------------------------------------------------

    async def _open_download(self, download: Download) -> Body | None:
        answer = await download.begin()
        if answer is None:
            return None
        self._confirmations.add(download.wanted.url, answer.identity)
        chunks = download.chunks(answer)
        await download.stack.enter_async_context(aclosing(chunks))
        return ChunkBody(answer, chunks)
