"""Sinks for code that may block: an upload on an event loop in a thread, which goes on while the caller does other things.

The thread is a `Bridge`'s, which owns threads for reading: started and stopped, at exit and after a fork too, as there. Here
what comes over it is a block without samples for each call that is done.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from asyncwds.engine.bridge import Bridge
from asyncwds.engine.reader import Block
from asyncwds.runtime.stats import Counters
from asyncwds.runtime.units import MiB
from asyncwds.settings.access import Storage
from asyncwds.settings.http import Http
from asyncwds.settings.retry import Retry
from asyncwds.storage.sink import Upload
from asyncwds.storage.sinks import open_sinks

_DONE = Block([], 0)
Call = Callable[[Upload], Awaitable[None]]


class _Calls:
    """What both threads share: the calls to make, one after another; each is answered with a block."""

    _loop: asyncio.AbstractEventLoop
    _upload: Upload

    def __init__(self, url: str, http: Http, retry: Retry, storage: Storage) -> None:
        self._url = url
        self._http = http
        self._retry = retry
        self._storage = storage
        self._waiting: asyncio.Queue[Call] = asyncio.Queue()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[_Calls]:
        """For as long as it is open the upload is; unless it was committed by then, it is aborted."""
        self._loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1, thread_name_prefix="asyncwds-upload") as thread:
            sink = open_sinks(self._http, self._retry, thread, self._storage)
            try:
                self._upload = await sink.open(self._url)
                try:
                    self._waiting.put_nowait(_opened)
                    yield self
                finally:
                    await self._upload.abort()
            finally:
                await sink.aclose()

    async def next_block(self) -> Block:
        call = await self._waiting.get()
        await call(self._upload)
        return _DONE

    def ready_block(self) -> None:
        return None

    def send(self, call: Call) -> None:
        """From any thread, once it is open."""
        self._loop.call_soon_threadsafe(self._waiting.put_nowait, call)


class RemoteOutput:
    """An `Output` for urls that need a sink. Each call waits until the sink has taken it, not until the bytes have arrived."""

    def __init__(self, url: str, http: Http, retry: Retry, storage: Storage) -> None:
        self._calls = _Calls(url, http, retry, storage)
        self._bridge = Bridge(self._calls.open, window=MiB, counters=Counters(), loop_factory=asyncio.new_event_loop)
        next(self._bridge)

    def write(self, data: bytes) -> None:
        self._do(lambda upload: upload.write(data))

    def commit(self) -> None:
        self._do(lambda upload: upload.commit())
        self._bridge.close()

    def abort(self) -> None:
        self._bridge.close()

    def _do(self, call: Call) -> None:
        self._calls.send(call)
        next(self._bridge)


async def _opened(_: Upload) -> None:
    """The first call, which is answered when the upload is open."""
