"""Which sink or output writes which url."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import AsyncExitStack

from asyncwds.errors import SpecError
from asyncwds.runtime.blocking import in_thread
from asyncwds.runtime.security import refused
from asyncwds.settings.buckets import FileSystem
from asyncwds.settings.http import Http
from asyncwds.settings.retry import Retry
from asyncwds.shards.urls import local_path, scheme_of
from asyncwds.storage.local.output import FileOutput, Output, StreamOutput
from asyncwds.storage.local.pipe_output import PipeOutput
from asyncwds.storage.schemes import Settings, Storage, http_for, schemes, settings_for, store_maker
from asyncwds.storage.sink import Sink, ThreadedUpload, Upload

Maker = Callable[[Http, Retry, Executor], Sink]


def blocking_output(url: str, storage: Storage) -> Output | None:
    """The output for urls that are written by blocking calls: file:, plain paths, pipe:, and - for standard output.

    None for those that need a sink, which are all that `storage` has settings for. Raises SpecError for urls that nothing writes,
    and for local files and pipes where the environment has WDS_SECURE=1.
    """
    if reason := refused(scheme_of(url)):
        raise SpecError(f"{scheme_of(url)}: urls are not written to, because {reason}", url=url)
    if _bucket_of(url, storage) is not None:
        return None
    scheme = _scheme(url)
    if scheme == "-":
        return StreamOutput(sys.stdout.buffer, "-", close=False)
    if scheme == "pipe":
        return PipeOutput(url)
    path = local_path(url)
    return None if path is None else FileOutput(url, path)


def open_sinks(http: Http, retry: Retry, thread: Executor, storage: Storage) -> Sink:
    """A sink for all urls. What blocks is done in `thread`, an executor with a single thread."""
    return _Sinks(http, retry, thread, storage)


class _Sinks:
    """Makes the sink for a scheme, or for settings, when the first such url is opened, and closes it."""

    def __init__(self, http: Http, retry: Retry, thread: Executor, storage: Storage) -> None:
        self._arguments = (http, retry, thread)
        self._thread = thread
        self._storage = storage
        self._sinks: dict[Maker | int, Sink] = {}

    async def open(self, url: str) -> Upload:
        settings = _bucket_of(url, self._storage)
        if settings is not None:
            return await self._bucket(settings).open(url)
        output = await in_thread(self._thread, blocking_output, url, self._storage)
        if output is not None:
            return ThreadedUpload(output, self._thread, output.kill if isinstance(output, PipeOutput) else None)
        maker = _MAKERS[_scheme(url)]
        if maker not in self._sinks:
            self._sinks[maker] = maker(*self._arguments)
        return await self._sinks[maker].open(url)

    def _bucket(self, settings: Settings) -> Sink:
        if id(settings) not in self._sinks:
            from asyncwds.storage.stores.sink import BucketSink  # noqa: PLC0415 - it brings aiohttp, 150 ms

            http, retry, _ = self._arguments
            self._sinks[id(settings)] = BucketSink(http_for(settings, http), retry, store_maker(settings))
        return self._sinks[id(settings)]

    async def aclose(self) -> None:
        async with AsyncExitStack() as stack:  # all of them, even if closing one fails
            for sink in self._sinks.values():
                stack.push_async_callback(sink.aclose)


def _bucket_of(url: str, storage: Storage) -> Settings | None:
    settings = settings_for(url, storage)
    return None if isinstance(settings, FileSystem) else settings  # by fsspec nothing is written


def _scheme(url: str) -> str:
    scheme = scheme_of(url)
    if scheme not in {"-", "file", "pipe", *_MAKERS}:
        known = ", ".join(f"{name}:" for name in ("file", "pipe", *_MAKERS, *schemes()))
        raise SpecError(f"nothing writes to {scheme}: urls; there is {known}", url=url)
    return scheme


def _http(http: Http, retry: Retry, thread: Executor) -> Sink:
    from asyncwds.storage.http.sink import HttpSink  # noqa: PLC0415 - it brings aiohttp, 150 ms

    return HttpSink(http, retry, thread)


_MAKERS: dict[str, Maker] = {"http": _http, "https": _http}
