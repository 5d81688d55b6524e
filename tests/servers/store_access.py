"""What the tests of each store do with it: read, list and upload, with nothing left behind."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from asyncwds import Http, Retry
from asyncwds.runtime import Counters
from asyncwds.settings import Access
from asyncwds.storage import BucketSink, Fetcher, Transport, open_storage
from asyncwds.testing import leaks, read

DATA = random.Random(5).randbytes(400_000)
PART = 100_000
QUICK = Retry(tries=4, backoff=0.01, backoff_max=0.05, hedge=None)
PLAIN = Http(trust_env=False)


@asynccontextmanager
async def fetching(
    schemes: tuple[str, ...], settings: Any = None, *, http: Http = PLAIN, counters: Counters | None = None
) -> AsyncIterator[Fetcher]:
    """A fetcher, by the settings for these schemes if there are any."""
    storage = {} if settings is None else dict.fromkeys(schemes, settings)
    async with leaks():
        fetcher = open_storage(Access(http, QUICK, storage), counters or Counters())
        try:
            yield fetcher
        finally:
            await fetcher.aclose()


async def read_in_parts(fetcher: Fetcher, url: str, identity: str | None = None) -> bytes:
    starts = range(0, len(DATA), PART)
    return b"".join(data for _, data in await asyncio.gather(*(read(fetcher, url, at, at + PART, identity) for at in starts)))


@asynccontextmanager
async def stores(kind: Callable[..., Any], settings: Any) -> AsyncIterator[Any]:
    async with leaks():
        transport = Transport(Access(PLAIN, QUICK), Counters())
        store = kind(settings, transport)
        try:
            yield store
        finally:
            await store.aclose()
            await transport.aclose()


async def listed(kind: Callable[..., Any], settings: Any, url: str, *, deep: bool) -> list[str]:
    async with stores(kind, settings) as store:
        return sorted([found async for found in store.list(url, deep=deep)])


async def upload(
    kind: Callable[..., Any], settings: Any, url: str, data: bytes, *, commit: bool = True, http: Http = PLAIN
) -> None:
    async with leaks():
        sink = BucketSink(Access(PLAIN, QUICK), partial(kind, settings))
        try:
            writing = await sink.open(url)
            try:
                for begin in range(0, len(data), 30_000):
                    await writing.write(data[begin : begin + 30_000])
                if commit:
                    await writing.commit()
            finally:
                await writing.abort()
        finally:
            await sink.aclose()
