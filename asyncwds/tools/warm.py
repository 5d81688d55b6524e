"""`cache warm`: fetches shards into a cache before they are needed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from asyncwds import checks
from asyncwds.engine.source import Source
from asyncwds.errors import CacheError, SpecError, WdsError
from asyncwds.formatting.texts import printable
from asyncwds.runtime.blocking import BlockingPool, run_on_own_loop
from asyncwds.runtime.counters import Counters
from asyncwds.runtime.event_loop import run_some_at_a_time
from asyncwds.settings.reading import Cache
from asyncwds.storage.base import Fetcher, ObjectRange
from asyncwds.storage.cache.folder import CacheFolder
from asyncwds.storage.cache.names import cached_url, name_in_cache
from asyncwds.tools.inputs import Inputs

LOOKS, PAUSE = 400, 0.05  # [s] how often others that fetch the same are looked at, and how long between


@dataclass
class WarmReport:
    """shards   urls of those that were fetched
    there    urls of those that the cache had
    failed   what was passed over, and why
    bytes    what came from the sources, and what of these shards was in the cache already
    """

    shards: list[str] = field(default_factory=list)
    there: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    bytes: int = 0


def warm_cache(inputs: Inputs, *, jobs: int = 8, show: Callable[[WarmReport], object] | None = None) -> WarmReport:
    """Fetches shards into `inputs.cache`, `jobs` at a time. What is there is left; downloads that were broken off are gone on with.

    show   called after each shard

    Raises SpecError for a local file, which a cache does not keep, FetchError where a shard cannot be read, and CacheError for one
    that was not kept: it is no archive, or there is no room; unless `inputs.on_error` is "skip": then they are in the report.
    """
    checks.whole("jobs", jobs, 1)
    if inputs.cache is None:
        raise SpecError("nothing says which cache: --cache FOLDER (Inputs(cache=...)) or $WDS_CACHE")
    urls, records = inputs.listing()
    report = WarmReport()
    counters = Counters()
    source = Source(urls=urls, access=inputs.access, cache=inputs.cache, records=records)
    warming = _Warming(inputs.cache, inputs.on_error, report, lambda: _tell(report, counters, show))
    run_on_own_loop(partial(warming.fetch_all, list(dict.fromkeys(urls)), partial(source.make_fetcher, counters), jobs))
    return report


def _tell(report: WarmReport, counters: Counters, show: Callable[[WarmReport], object] | None) -> None:
    report.bytes = counters.bytes
    if show is not None:
        show(report)


@dataclass(frozen=True)
class _Warming:
    cache: Cache
    on_error: str
    report: WarmReport
    tell: Callable[[], None]

    async def fetch_all(self, urls: list[str], open_fetcher: Callable[[], Fetcher], jobs: int) -> None:
        folder = CacheFolder(self.cache)
        with BlockingPool("warm") as pool:
            left = await self._fetch_some(urls, folder, open_fetcher(), pool, jobs)
            if left:  # another process may have written to it while it became a shard, which is not trusted then
                left = await self._fetch_some(left, folder, open_fetcher(), pool, jobs)
        for url in left:
            self._pass_over(CacheError("the cache has not kept it: it is no archive, or there is no room for it", url=url))

    async def _fetch_some(self, urls: list[str], folder: CacheFolder, fetcher: Fetcher, pool: BlockingPool, jobs: int) -> list[str]:
        """Those that were fetched and are not there."""
        try:
            fetched = await run_some_at_a_time([self._fetch(url, folder, fetcher, pool) for url in urls], jobs)
        finally:
            await fetcher.aclose()  # what has come whole is a shard then
        left: list[str] = []
        for url in [url for url, was_fetched in zip(urls, fetched, strict=True) if was_fetched]:
            (self.report.shards if await self._was_kept(url, folder, pool) else left).append(url)
        return left

    async def _fetch(self, url: str, folder: CacheFolder, fetcher: Fetcher, pool: BlockingPool) -> bool:
        """False where it was there, or could not be fetched."""
        fetched = False
        try:
            name = await pool.run(_name_of, url, self.cache, folder.root)
            if await pool.run(folder.find, name) is not None:
                self.report.there.append(url)
            else:
                async with fetcher.open(ObjectRange(url)) as body:
                    async for _ in body:
                        pass
                fetched = True
        except WdsError as error:
            self._pass_over(error)
        self.tell()
        return fetched

    async def _was_kept(self, url: str, folder: CacheFolder, pool: BlockingPool) -> bool:
        name = await pool.run(_name_of, url, self.cache, folder.root)
        for _ in range(LOOKS):
            if (kept := await pool.run(_is_whole, folder, name)) is not None:
                return kept
            await asyncio.sleep(PAUSE)
        return False

    def _pass_over(self, error: WdsError) -> None:
        if self.on_error != "skip":
            raise error
        self.report.failed.append(printable(str(error)))


def _name_of(url: str, cache: Cache, root: Path) -> str:
    known_as = cached_url(url, root, local=cache.local)
    if known_as is None:
        raise SpecError("a cache does not keep it: local files are read where they are", url=url)
    return name_in_cache(known_as, cache.url_to_name)


def _is_whole(folder: CacheFolder, name: str) -> bool | None:
    """None while another process fetches it, too, and is about to make it a shard."""
    if folder.find(name) is not None:
        return True
    return None if folder.part(name).exists() else folder.find(name) is not None  # which it may have become meanwhile
