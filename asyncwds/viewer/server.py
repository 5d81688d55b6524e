"""Serves the page, on this machine and to whoever has its token."""

from __future__ import annotations

import asyncio
import shutil
import webbrowser
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from os import PathLike
from typing import Any

from aiohttp import web

from asyncwds import checks
from asyncwds.engine.openers import open_by_scheme, open_fetcher
from asyncwds.errors import SpecError
from asyncwds.index.files import load_by
from asyncwds.index.finding import cache_folder
from asyncwds.index.index import Index
from asyncwds.runtime.blocking import BlockingPool, run_on_own_loop
from asyncwds.runtime.counters import Counters
from asyncwds.settings.access import Access, Http, Retry, Settings, Storage
from asyncwds.settings.reading import Cache
from asyncwds.storage.base import Fetcher
from asyncwds.storage.listing import expand_and_list
from asyncwds.storage.schemes import as_access
from asyncwds.viewer.catalog import Catalog
from asyncwds.viewer.fields import FieldReader
from asyncwds.viewer.guard import add_headers, as_token, make_log, only_with
from asyncwds.viewer.learning import Learner
from asyncwds.viewer.routes import Routes

ADDRESS = "127.0.0.1"
THREADS = 4  # that draw, and search
ENDING = 1.0  # [s] that answers under way get

Urls = str | PathLike[str] | Iterable[str | PathLike[str]]


def view(
    urls: Urls,
    *,
    index: Any = None,
    port: int = 0,
    token: str | None = None,
    browser: bool = True,
    told: Callable[[str], object] = print,
    http: Http | None = None,
    retry: Retry | None = None,
    storage: Storage | Settings | None = None,
    cache: Cache | None = None,
) -> None:
    """Serves a page to look at shards, until Ctrl-C.

    urls     as for `WebDataset`: paths, URLs, patterns, folders
    index    of the shards: an `Index`, or where one is; without it that is taken which is beside each shard, or their headers
    port     of 127.0.0.1; 0 takes a free one
    token    without which nothing is answered; None makes a new one
    browser  opens the page
    told     is called with its address
    http, retry, storage, cache   as for `WebDataset`

    Blocks. Raises SpecError for arguments that make no sense, and OSError where the port is taken.
    """
    checks.flag("browser", browser)
    access = as_access(http, retry, storage)

    async def serve() -> None:
        async with open_viewer(urls, index=index, port=port, token=token, access=access, cache=cache) as address:
            told(address)
            if browser:
                with BlockingPool("browser") as thread:
                    await thread.run(webbrowser.open, address)
            await asyncio.get_running_loop().create_future()

    with suppress(KeyboardInterrupt):
        run_on_own_loop(serve)


@asynccontextmanager
async def open_viewer(
    urls: Urls,
    *,
    index: Any = None,
    port: int = 0,
    token: str | None = None,
    access: Access | None = None,
    cache: Cache | None = None,
) -> AsyncGenerator[str, None]:
    """The same on the running loop, for as long as the context is open: it gives the address."""
    checks.whole("port", port, 0, 65535)
    checks.instance("cache", cache, Cache, optional=True)
    token, access = as_token(token), access or Access()
    async with AsyncExitStack() as stack:
        pool = stack.enter_context(BlockingPool("view", THREADS))
        shards = await pool.run(expand_and_list, urls, access)
        if "-" in shards:
            raise SpecError("standard input cannot be read twice, and samples are read when they are looked at", url="-")
        given = None if index is None else await pool.run(_load_index, index, shards, access)
        plain = open_by_scheme(access, Counters())
        stack.push_async_callback(plain.aclose)
        catalog = Catalog(shards)
        fields = FieldReader(_cached(stack, access, cache) if cache is not None else plain)
        stack.push_async_callback(fields.aclose)
        learner = Learner(catalog, plain, pool, None if cache is None else cache_folder(cache))
        stack.callback(_remove_unpacked, learner)
        learning = asyncio.create_task(learner.learn(given))
        stack.push_async_callback(_stop, learning)
        site = await _serve(stack, Routes(catalog, fields, pool), token, port)
        yield f"http://{ADDRESS}:{site}/{token}/"


async def _serve(stack: AsyncExitStack, routes: Routes, token: str, port: int) -> int:
    """Returns the port."""
    app = web.Application(middlewares=[only_with(token)])
    app.on_response_prepare.append(add_headers)
    routes.add_to(app, token)
    runner = web.AppRunner(
        app, access_log=None, logger=make_log(), handle_signals=False, shutdown_timeout=ENDING, handler_cancellation=True
    )
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    site = web.TCPSite(runner, ADDRESS, port)
    await site.start()
    bound: int = runner.addresses[0][1]
    return bound


def _load_index(index: Any, urls: list[str], access: Access) -> Index:
    found = index if isinstance(index, Index) else load_by(index, access)
    return found.for_urls(urls)


def _cached(stack: AsyncExitStack, access: Access, cache: Cache) -> Fetcher:
    fetcher = open_fetcher(access, Counters(), cache)
    stack.push_async_callback(fetcher.aclose)
    return fetcher


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _remove_unpacked(learner: Learner) -> None:
    if learner.unpacked is not None:
        shutil.rmtree(learner.unpacked)
