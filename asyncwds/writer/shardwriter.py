"""`ShardWriter`: samples into a sequence of tar archives."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import IO, Any, Protocol, Self

from asyncwds import checks
from asyncwds.errors import SpecError
from asyncwds.settings.access import Http, Retry, Settings, Storage
from asyncwds.storage.local.direct_output import StreamOutput
from asyncwds.storage.local.output import Output
from asyncwds.storage.schemes import as_access
from asyncwds.writer.archivefile import ArchiveFile
from asyncwds.writer.entries import Entry
from asyncwds.writer.manifest import BESIDE, ShardRecord, index_beside, index_bytes, index_target, manifest_bytes
from asyncwds.writer.opening import open_output
from asyncwds.writer.options import Options
from asyncwds.writer.shards import Shards, add_note, shown_property
from asyncwds.writer.tarwriter import TarWriter


class SampleStream(Protocol):
    """What a `next_stream` of one's own may write to: a `TarWriter`, or anything like it."""

    def write(self, obj: Mapping[str, Any], /) -> int:
        """Writes a sample. Returns the bytes of its fields."""
        ...

    def close(self) -> None:
        """Completes it."""
        ...


class ShardWriter:
    """Writes samples to shards: `with ShardWriter("train-%06d.tar", maxcount=1000) as sink: sink.write(sample)`.

    pattern       path or URL of the shards (see `TarWriter`), with a place for their number
    maxcount      most samples of a shard
    maxsize       most bytes of a shard, headers included, before compression; only a sample that is larger has a larger shard
    post          called with the name of each shard when it is complete; its errors are errors of the writer
    start_shard   number of the first shard
    verbose       log each shard that is begun, at level INFO to the logger `asyncwds.writer`
    opener        called with a name, returns a binary file to write to, which the writer closes
    manifest      path or URL of a JSON file that lists all shards with samples, bytes and SHA-256; written at the end
    index         True writes an index beside each shard, a path or URL one of all of them at the end
    http, retry, storage   as for `WebDataset`
    kw            further arguments of `TarWriter`

    A shard begins with its first sample, so none is empty, and appears under its name when it is complete. If the `with` block
    ends with an error, or a write fails, the shard that was begun is dropped, and there is no manifest. Raises as `TarWriter`.

    A subclass may have its own `next_stream`, as WebDataset's: it calls `finish`, and sets `fname`, `tarstream` (a `TarWriter`,
    or anything with `write` and `close`), `shard`, and `count` and `size` to 0. It is called with the first sample, and when
    `count` or `size` has reached its bound. The pattern is then its own business, and there is no manifest. It may also have its
    own `write`, which calls `next_stream` as WebDataset's does, and `tarstream.write`.
    """

    def __init__(  # noqa: PLR0917 - webdataset's order
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
        checks.function("post", post, optional=True, takes=1)
        checks.function("opener", opener, optional=True, takes=1)
        checks.whole("verbose", int(verbose) if isinstance(verbose, bool) else verbose)
        checks.path("manifest", manifest, optional=True)
        self.post = post
        self.verbose = verbose
        self.opener = opener
        self.kw = kw
        self.tarstream: TarWriter | SampleStream | None = None
        self._begun: ArchiveFile | None = None  # what `tarstream` writes to, if it was begun here
        self._options = Options(**kw)
        self._packer = self._options.packer()
        self._shards = Shards(pattern, maxcount, maxsize, start_shard)
        self._manifest = None if manifest is None else os.fspath(manifest)
        self._index = index_target(index)
        kind = type(self)
        self._steered = (kind.next_stream, kind.write) != (ShardWriter.next_stream, ShardWriter.write)
        if kind.next_stream is ShardWriter.next_stream:
            self._shards.next_name()  # now rather than with the first sample
        elif manifest is not None or self._index is not None:
            raise SpecError("no manifest or index can be made of shards that a next_stream of one's own begins")
        self._access = as_access(http, retry, storage)
        self._closed = False

    pattern: str = shown_property("pattern", settable=True)
    maxcount: int = shown_property("maxcount", settable=True)
    maxsize: float = shown_property("maxsize", settable=True)
    shard: int = shown_property("shard", settable=True)
    """Number of the next shard."""
    fname: str | None = shown_property("fname", settable=True)
    """Name of the latest shard; None before the first sample."""
    count: int = shown_property("count", settable=True)
    """Samples in the latest shard."""
    size: int = shown_property("size", settable=True)
    """Bytes of their fields."""
    total: int = shown_property("total", settable=True)
    """Samples in all."""
    records: list[ShardRecord] = shown_property("records")
    """The shards that are complete."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and self._begun is not None and self._begun.in_place:
            self.finish()
        elif kind is None:
            self.close()
            return
        self._abort()

    def write(self, obj: Mapping[str, Any]) -> int:
        """Writes a sample, to a new shard if the present one has no room for it. Returns the bytes of its fields."""
        if self._closed:
            raise SpecError("nothing can be written any more: the writer was closed, or an earlier write failed")
        if self._steered and (self.tarstream is None or self.count >= self.maxcount or self.size >= self.maxsize):
            self.next_stream()
        stream, file = self.tarstream, self._file
        payload = stream.write(obj) if stream is not None and file is None else self._append(self._packer(obj), file)
        self._shards.wrote(payload)
        return payload

    def _append(self, entry: Entry, file: ArchiveFile | None) -> int:
        if file is not None and file.archive.samples and not self._shards.has_room(file.archive, entry):
            self.finish()
            file = None
        if file is None:
            file = self._begin()
        try:
            file.append(entry)
        except BaseException:
            self._check()
            raise
        return entry.payload

    @property
    def _file(self) -> ArchiveFile | None:
        """The present shard, if it was begun here and not by a `next_stream` of one's own."""
        stream = self.tarstream
        return self._begun if isinstance(stream, TarWriter) and stream.writes(self._begun) else None

    def next_stream(self) -> None:
        """Completes the present shard; the next sample begins a new one. Called by that of a subclass it begins it now."""
        self.finish()
        if self._steered:
            self._begin()

    def finish(self) -> None:
        """Completes the present shard, if there is one, and calls `post`."""
        stream, file = self.tarstream, self._file
        if file is not None and not file.archive.position:  # one that a subclass had begun
            file.abort()
            self.tarstream = stream = None
        if stream is None:
            return
        try:
            stream.close()
        except BaseException:
            self._check()
            raise
        self.tarstream = None
        name = self.fname if file is None else self._shards.ended(file.archive)
        if self._index == BESIDE:
            self._write_file(*index_beside(self._shards.indexes[-1]))
        if self.post is not None and name is not None:
            with add_note(f"in the post hook, for {name}"):
                self.post(name)

    def close(self) -> None:
        """Completes the last shard and writes manifest and index. Idempotent; does nothing after a write that failed."""
        if self._closed:
            return
        try:
            self.finish()
        finally:
            self._closed = True
        if self._manifest is not None:
            self._write_file(self._manifest, manifest_bytes(self._manifest, self.records))
        if self._index not in (None, BESIDE):
            self._write_file(self._index, index_bytes(self._shards.indexes, self._index))

    def _begin(self) -> ArchiveFile:
        name = self._shards.next_name()
        wanted = {"hashed": self._manifest is not None, "indexed": self._index is not None}
        archive = self._options.archive(None if self.opener else name, **wanted)
        if self.opener is None:
            output = self._open_shard(name, archive.mark if self._options.writes_in_place else None)
        else:
            output = StreamOutput(self.opener(name), name, close=True)
        self._shards.begun(name, verbose=bool(self.verbose))
        file = self._begun = ArchiveFile(output, archive, name)
        self.tarstream = TarWriter.to(self._options, self._packer, file)
        return file

    def _abort(self) -> None:
        self._closed = True
        stream, self.tarstream = self.tarstream, None
        if isinstance(stream, TarWriter):
            stream.abort()
        elif stream is not None:
            stream.close()

    def _write_file(self, url: str, data: bytes) -> None:
        output = self._open_shard(url)
        try:
            output.write(data)
            output.commit()
        except BaseException:
            output.abort()
            raise

    def _open_shard(self, url: str, ending: bytes | None = None) -> Output:
        return open_output(url, self._access, ending=ending)

    def _check(self) -> None:
        """After a failure: if samples were lost with the shard, there can be no others after them."""
        file = self._file
        if file is None or not file.is_open:
            self._abort()
