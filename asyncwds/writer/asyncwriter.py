"""`AsyncShardWriter`: the same for asynchronous code."""

from __future__ import annotations

import asyncio
import inspect
import os
import weakref
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import IO, Any, NamedTuple, Self

from asyncwds import checks
from asyncwds.engine.openers import writer_of
from asyncwds.errors import SpecError
from asyncwds.runtime.blocking import BlockingPool
from asyncwds.runtime.event_loop import run_to_completion
from asyncwds.settings.access import Http, Retry, Settings, Storage
from asyncwds.shards.urls import rewritten
from asyncwds.storage.local.direct_output import StreamOutput, open_with
from asyncwds.storage.schemes import as_access
from asyncwds.storage.sink import Sink, ThreadedUpload, Upload, write_whole
from asyncwds.storage.sinks import open_sinks
from asyncwds.writer.archive import Archive
from asyncwds.writer.entries import Entry
from asyncwds.writer.manifest import BESIDE, ShardRecord, index_beside, index_bytes, index_target, manifest_bytes
from asyncwds.writer.options import Options
from asyncwds.writer.shards import Shards, add_note, shown_property, warn_of_loss


class _Begun(NamedTuple):
    """The shard that was begun; `warning` comes if it is neither completed nor aborted."""

    archive: Archive
    upload: Upload
    warning: weakref.finalize[Any, Any]


class AsyncShardWriter:
    """`ShardWriter` for a running event loop: `async with AsyncShardWriter("train-%06d.tar") as sink: await sink.write(sample)`.

    Arguments, attributes, shards and errors are those of `ShardWriter`. What takes time is done off the loop: values are encoded
    and files written in a thread, and an upload goes on while further samples are written. `post` may be a coroutine function;
    others run in the thread, as does `opener`. Several tasks may write at once; each sample is written whole.
    """

    def __init__(  # noqa: PLR0917 - as ShardWriter
        self,
        pattern: str | os.PathLike[str],
        maxcount: int = 100000,
        maxsize: float = 3e9,
        post: Callable[[str], object] | None = None,
        start_shard: int = 0,
        verbose: int = 1,
        opener: Callable[[str], IO[bytes]] | None = None,
        *,
        manifest: str | os.PathLike[str] | None = None,
        index: str | os.PathLike[str] | bool = False,
        http: Http | None = None,
        retry: Retry | None = None,
        storage: Storage | Settings | None = None,
        **kw: Any,
    ) -> None:
        if post is not None and not callable(post):
            raise SpecError(f"post must be a function or None, not {post!r}")
        checks.function("opener", opener, optional=True, takes=1)
        checks.whole("verbose", int(verbose) if isinstance(verbose, bool) else verbose)
        checks.path("manifest", manifest, optional=True)
        self.post = post
        self.verbose = verbose
        self.opener = opener
        self.kw = kw
        self._options = Options(**kw)
        if self._options.in_place:
            raise SpecError("AsyncShardWriter writes shards whole or not at all; ShardWriter has in_place")
        self._packer = self._options.packer()
        self._shards = Shards(pattern, maxcount, maxsize, start_shard)
        self._shards.next_name()  # now rather than with the first sample
        self._manifest = None if manifest is None else os.fspath(manifest)
        self._index = index_target(index)
        self._thread = BlockingPool("writer")
        self._sinks: Sink = open_sinks(as_access(http, retry, storage), self._thread)
        self._turn = asyncio.Lock()
        self._begun: _Begun | None = None
        self._closed = False

    pattern: str = shown_property("pattern")
    maxcount: int = shown_property("maxcount")
    maxsize: float = shown_property("maxsize")
    shard: int = shown_property("shard")
    fname: str | None = shown_property("fname")
    count: int = shown_property("count")
    size: int = shown_property("size")
    total: int = shown_property("total")
    records: list[ShardRecord] = shown_property("records")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            await self.close()
        else:
            await self._abort()

    async def write(self, obj: Mapping[str, Any]) -> int:
        """Writes a sample, to a new shard if the present one has no room for it. Returns the bytes of its fields."""
        async with self._turn:
            if self._closed:
                raise SpecError("nothing can be written any more: the writer was closed, or an earlier write failed")
            entry = self._packer(obj) if self._packer.is_quick(obj) else await self._thread.run(self._packer, obj)
            if self._begun is not None and not self._shards.has_room(self._begun.archive, entry):
                await self._finish()
            if self._begun is None:
                self._begun = await self._begin()
            await self._append(entry, self._begun)
            return entry.payload

    async def next_stream(self) -> None:
        """Completes the present shard; the next sample begins a new one."""
        await self.finish()

    async def finish(self) -> None:
        """Completes the present shard, if there is one, and calls `post`."""
        async with self._turn:
            await self._finish()

    async def close(self) -> None:
        """Completes the last shard and writes manifest and index. Idempotent; does nothing after a write that failed."""
        async with self._turn:
            if self._closed:
                return
            try:
                await self._finish()
                if self._manifest is not None:
                    await self._write_file(self._manifest, manifest_bytes(self._manifest, self.records))
                if self._index not in (None, BESIDE):
                    await self._write_file(self._index, index_bytes(self._shards.indexes, self._index))
            finally:
                await self._abort()  # of what is not complete, after an error

    async def _begin(self) -> _Begun:
        name = self._shards.next_name()
        wanted = {"hashed": self._manifest is not None, "indexed": self._index is not None}
        archive = self._options.archive(None if self.opener else name, **wanted)
        if self.opener is None:
            upload = await self._open(name)
        else:
            stream = await self._thread.run(self.opener, name)
            upload = ThreadedUpload(StreamOutput(stream, name, close=True), self._thread)
        self._shards.begun(name, verbose=bool(self.verbose))
        return _Begun(archive, upload, weakref.finalize(self, warn_of_loss, name, os.getpid()))

    async def _append(self, entry: Entry, begun: _Begun) -> None:
        begun.archive.append(entry)
        self._shards.wrote(entry.payload)
        if begun.archive.is_full:
            async with self._close_on_failure():
                await self._send(begun, begun.archive.take())

    async def _finish(self) -> None:
        begun = self._begun
        if begun is None:
            return
        async with self._close_on_failure():
            await self._send(begun, begun.archive.finish())
            await begun.upload.commit()
        self._begun = None
        begun.warning.detach()
        name = self._shards.ended(begun.archive)
        if self._index == BESIDE:
            await self._write_file(*index_beside(self._shards.indexes[-1]))
        if self.post is not None:
            with add_note(f"in the post hook, for {name}"):
                await self._call(self.post, name)

    async def _send(self, begun: _Begun, chunks: Iterator[bytes]) -> None:
        # Compressing and hashing a chunk takes milliseconds.
        ready: Iterable[bytes] = chunks if begun.archive.is_quick else await self._thread.run(list, chunks)
        for chunk in ready:
            await begun.upload.write(chunk)

    async def _call(self, post: Callable[[str], object], name: str) -> None:
        outcome = post(name) if inspect.iscoroutinefunction(post) else await self._thread.run(post, name)
        if inspect.isawaitable(outcome):
            await outcome

    async def _abort(self) -> None:
        self._closed = True
        begun, self._begun = self._begun, None
        try:
            if begun is not None:
                begun.warning.detach()
                await begun.upload.abort()
        finally:
            await run_to_completion(self._free())

    async def _free(self) -> None:
        try:
            await self._sinks.aclose()
        finally:
            self._thread.close(wait=False)  # its last call has come back, or belongs to a task that was cancelled

    async def _open(self, url: str) -> Upload:
        """As `archivefile.open_output`."""
        url = rewritten(url)
        opener = writer_of(url)
        if opener is None:
            return await self._sinks.open(url)
        output = await self._thread.run(open_with, url, opener)
        return ThreadedUpload(output, self._thread, output.kill)

    async def _write_file(self, url: str, data: bytes) -> None:
        await write_whole(await self._open(url), data)

    @asynccontextmanager
    async def _close_on_failure(self) -> AsyncIterator[None]:
        """Samples are lost with the shard that fails, or whose writing is cancelled, so there can be no others after them."""
        try:
            yield
        except BaseException:
            await self._abort()
            raise
