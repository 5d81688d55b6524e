"""Objects of web servers and buckets as files, for code that may block: fetched while read, uploaded while written."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Literal

from asyncwds.bridges.block_bridge import Bridge, open_bridge
from asyncwds.bridges.remote_output import RemoteOutput
from asyncwds.engine.blocks import ReadOptions
from asyncwds.engine.stream import BlockStream
from asyncwds.errors import redact
from asyncwds.runtime.counters import Counters
from asyncwds.settings.access import Access, Http, Retry, Settings, Storage
from asyncwds.settings.reading import Prefetch, as_prefetch
from asyncwds.shards.shard import Shard
from asyncwds.storage.base import Fetcher
from asyncwds.storage.registry import open_storage
from asyncwds.storage.schemes import as_access

BUFFER = 1 << 16  # [bytes] for small reads; large ones go past it


class DownloadFile(io.RawIOBase):
    """An object that is fetched while it is read, its parts over several connections. Errors are raised where the bytes should be.

    Dropping it without closing it stops the engine as well.
    """

    def __init__(self, url: str, prefetch: Prefetch, access: Access) -> None:
        super().__init__()
        self.name = redact(url)
        counters = Counters()
        self._chunk = memoryview(b"")
        self._bridge = open_bridge(partial(_opened, url, prefetch, partial(open_storage, access), counters), prefetch, counters)
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
        raw = cls(url, as_prefetch(prefetch), as_access(http, retry, storage))
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
        self.name = redact(url)
        self._output: RemoteOutput | None = RemoteOutput(url, as_access(http, retry, storage))

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
