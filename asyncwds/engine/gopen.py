"""`gopen`: anything that has a url, as a file."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Literal

from asyncwds import checks
from asyncwds.engine.bridge import Bridge
from asyncwds.engine.reader import ReadOptions
from asyncwds.engine.remote import RemoteOutput
from asyncwds.engine.schemes import opener_of
from asyncwds.engine.source import as_prefetch, loop_factory
from asyncwds.engine.stream import BlockStream, window_bytes
from asyncwds.errors import SpecError, redact
from asyncwds.formatting.escaping import printable
from asyncwds.runtime.security import secure_mode
from asyncwds.runtime.stats import Counters
from asyncwds.settings.access import Settings, Storage, as_settings
from asyncwds.settings.http import Http
from asyncwds.settings.prefetch import Prefetch
from asyncwds.settings.retry import Retry
from asyncwds.shards.shard import Shard
from asyncwds.shards.urls import local_path, rewritten, scheme_of
from asyncwds.storage.base import Fetcher
from asyncwds.storage.registry import open_storage
from asyncwds.storage.schemes import as_storage

BUFFER = 1 << 16  # [bytes] for small reads; large ones go past it


def gopen(url: str, mode: str = "rb", bufsize: int = 8192, **kw: Any) -> Any:
    """Opens a url for reading ("rb") or writing ("wb"), as a file object.

    Paths and `file:` are Python's files (buffered as $GOPEN_BUFFER says), `-` is standard input or output, and all else is
    opened by the function that `gopen_schemes` has for the scheme, which gets url, mode, bufsize and what else was given.
    Web servers and buckets are read with many requests in flight; `prefetch`, `retry`, `http` and `storage` are as for
    `WebDataset`. What is written to them is there when the file has been closed.

    Urls are rewritten as $GOPEN_REWRITE says; with $GOPEN_VERBOSE=1 each is written to stderr. Raises SpecError for another
    mode, for a scheme that nobody knows, and for local files in secure mode; the rest as the source does.
    """
    checks.text("gopen: url", url)
    if mode not in ("rb", "wb"):
        raise SpecError(f"gopen: the mode must be 'rb' or 'wb', not {mode!r}", url=url)
    checks.whole("gopen: bufsize", bufsize, -1)
    if os.environ.get("GOPEN_VERBOSE", "0") not in {"", "0"}:
        sys.stderr.write(f"GOPEN {printable(redact(url))}\n")
    if url == "-":
        return sys.stdin.buffer if mode == "rb" else sys.stdout.buffer
    url = rewritten(url)
    path = local_path(url)
    if path is None:
        return opener_of(scheme_of(url))(url, mode, bufsize, **kw)
    if secure_mode():
        raise SpecError("gopen: local files are not opened, because WDS_SECURE is set", url=url)
    return open(path, mode, buffering=int(os.environ.get("GOPEN_BUFFER", "-1")))  # noqa: PTH123 - the caller's to close


def reader(url: str, **kw: Any) -> Any:
    """`gopen(url, "rb")`."""
    return gopen(url, "rb", **kw)


class Download(io.RawIOBase):
    """An object that is fetched while it is read, its parts over several connections. Errors are raised where the bytes should be.

    Dropping it without closing it stops the engine as well.
    """

    def __init__(self, url: str, prefetch: Prefetch, retry: Retry, http: Http, storage: Storage) -> None:
        super().__init__()
        self.name = redact(url)
        counters = Counters()
        self._chunk = memoryview(b"")
        self._bridge = Bridge(
            partial(_opened, url, prefetch, partial(open_storage, http, retry, storage=storage), counters),
            window=window_bytes(prefetch),
            counters=counters,
            loop_factory=loop_factory(prefetch),
        )
        self._chunks = _chunks(self._bridge)

    @classmethod
    def opened(
        cls,
        url: str,
        bufsize: int = BUFFER,
        *,
        prefetch: int | Literal["auto"] | Prefetch | None = None,
        retry: Retry | None = None,
        http: Http | None = None,
        storage: Storage | Settings | None = None,
    ) -> io.BufferedReader:
        http, retry = as_settings(http, retry)
        raw = cls(url, as_prefetch(prefetch), retry, http, as_storage(storage))
        return io.BufferedReader(raw, max(bufsize, BUFFER))

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._chunk:
            self._chunk = memoryview(next(self._chunks, b""))
        target = memoryview(buffer).cast("B")
        size = min(len(target), len(self._chunk))
        target[:size] = self._chunk[:size]
        self._chunk = self._chunk[size:]
        return size

    def close(self) -> None:
        if hasattr(self, "_bridge"):
            self._bridge.close()
        super().close()


class UploadFile(io.RawIOBase):
    """An object that is uploaded while it is written. It is there, as a whole, once `close` returns.

    One that is dropped, or left by an exception, leaves nothing.
    """

    def __init__(
        self,
        url: str,
        *,
        retry: Retry | None = None,
        http: Http | None = None,
        storage: Storage | Settings | None = None,
    ) -> None:
        super().__init__()
        http, retry = as_settings(http, retry)
        self.name = redact(url)
        self._output: RemoteOutput | None = RemoteOutput(url, http, retry, as_storage(storage))

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        if self._output is None:
            raise ValueError("the file is closed")
        written = bytes(data)
        self._output.write(written)
        return len(written)

    def close(self) -> None:
        output, self._output = self._output, None
        if output is not None:
            try:
                output.commit()
            except BaseException:
                output.abort()
                raise
        super().close()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._abort()
        self.close()

    def __del__(self) -> None:
        self._abort()

    def _abort(self) -> None:
        output, self._output = getattr(self, "_output", None), None
        if output is not None:
            output.abort()


@asynccontextmanager
async def _opened(
    url: str, prefetch: Prefetch, fetcher: Callable[[Counters], Fetcher], counters: Counters
) -> AsyncIterator[BlockStream]:
    options = ReadOptions(prefetch.max_member_bytes, raw=True)
    stream = BlockStream(iter([Shard(url, 0)]), fetcher(counters), prefetch, options, counters)
    try:
        yield stream
    finally:
        await stream.aclose()


def _chunks(bridge: Bridge) -> Iterator[bytes]:
    for block in bridge:
        yield from block.samples
        if block.error is not None:
            raise block.error
