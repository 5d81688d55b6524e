"""A shard as samples whose members stay as they stand in the archive: `RawReader`, in the place of `ShardReader`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from asyncwds.compression.decompress import Decompressor
from asyncwds.engine.blocks import Block, ReadOptions
from asyncwds.engine.reader import finish, unpack
from asyncwds.errors import TrailingBytesError, WdsError
from asyncwds.shards.shard import Shard
from asyncwds.storage.base import Chunk
from asyncwds.tar.parser import TarParser
from asyncwds.tar.raw import Chunks, RawGrouper


class RawReader:
    """Decompresses, parses and groups one shard; the items of its blocks are `RawSample`s and `Stray`s.

    Ended early by an error, it has not given out the sample that was open: that may lack members.
    """

    repeated_keys = 0
    seekable = False

    def __init__(self, shard: Shard, total: int | None, options: ReadOptions) -> None:
        self.failed = False
        self._shard = shard
        self._total = total
        self._options = options
        self.decompressor = Decompressor(shard.url)
        self._parser: TarParser | None = None
        self._chunks = Chunks()
        self._grouper = RawGrouper(shard.url, shard.index, self._chunks.pieces)

    @property
    def held(self) -> int:
        """Bytes of the sample that is open, and of the member that has not come to its end."""
        needed = [at for at in (self._grouper.open_at, self._grouper.first_needed) if at is not None]
        return self._chunks.end - min(needed, default=self._chunks.end)

    def feed(self, chunk: Chunk) -> Iterable[Block]:
        return unpack(self, self.decompressor.feed(bytes(chunk)))

    def detach(self) -> None:
        """What it keeps are copies."""

    def finish(self) -> Iterator[Block]:
        return finish(self)

    def last(self, error: WdsError | None) -> Block:
        return Block(self._grouper.finish(self.tar().passed_over), 0, error)

    def abort(self, error: WdsError) -> Block:
        self.failed = True
        if error.key is None:
            error.key = self._grouper.pending_key
        return Block([], 0, error)

    def parse(self, piece: bytes) -> Iterator[Block]:
        parser = self.tar()
        members = parser.feed(piece)
        self._chunks.append(piece)
        samples = self._grouper.add(members, self._chunks.end)
        needed = self._grouper.first_needed
        self._chunks.forget(parser.first_open if needed is None else needed)
        yield Block(samples, sum([sample.nbytes for sample in samples]))
        if parser.error is not None and not isinstance(parser.error, TrailingBytesError):
            yield self.abort(parser.error)

    def tar(self) -> TarParser:
        if self._parser is None:
            total = None if self.decompressor.compressed else self._total
            self._parser = TarParser(
                self._shard.url,
                total=total,
                headers_only=True,
                max_member_bytes=self._options.max_member_bytes,
                max_header_bytes=self._options.max_header_bytes,
            )
        return self._parser
