"""The reader's side of one shard: what reads it, and what of its blocks waits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from asyncwds.compression.decompress import Decompressor
from asyncwds.engine.blocks import Block, BlockReader, Reader, ReadOptions
from asyncwds.engine.parts import ShardRun
from asyncwds.engine.reader import ShardReader, finish, unpack
from asyncwds.engine.reader_layers import LimitReader, ListingReader, with_checksum
from asyncwds.errors import TrailingBytesError, WdsError
from asyncwds.shards.shard import Shard
from asyncwds.shards.urls import local_path
from asyncwds.storage.base import Chunk
from asyncwds.tar.parser import TarParser
from asyncwds.tar.raw import Chunks, RawGrouper


@dataclass(slots=True)
class Reading:
    """`reader` is fed, and `inner`, which it is or is around, keeps what is needed; `blocks` are those of the chunk taken last."""

    reader: BlockReader
    inner: Reader
    blocks: Iterator[Block] = field(default_factory=lambda: iter(()))
    rest: Block | None = None  # what a turn in the rotation left over
    finishing: bool = False
    wanted: int = 0  # ordinal of the sample before which none is given out; 0 once it has come

    @property
    def complete(self) -> bool:
        """Whether all that is wanted has come, though the shard goes on."""
        return isinstance(self.reader, LimitReader) and self.reader.complete

    @property
    def held(self) -> int:
        """Bytes of samples that are not complete, or not given out."""
        return self.inner.held + (self.rest.nbytes if self.rest else 0)

    def finish(self) -> None:
        """All bytes have come."""
        blocks = self.reader.finish()
        # Of what is not compressed these are few, and as a list it is known which one is the last.
        self.blocks = iter(list(blocks)) if self.inner.seekable else blocks
        self.finishing = True

    def without_given(self, block: Block) -> Block:
        """Without the samples that were given out before, and the errors before the last of them."""
        wanted, samples = self.wanted, block.samples
        begin = sum([sample._origin[1] < wanted for sample in samples])  # noqa: SLF001 - an Origin would be made for each
        if begin < len(samples) or (samples and samples[-1]._origin[1] == wanted - 1):  # noqa: SLF001 - as above
            self.wanted = 0
        error = block.error if not self.wanted or self.reader.failed else None
        return Block(samples[begin:], block.nbytes if begin < len(samples) else 0, error)


def open_reading(run: ShardRun, options: ReadOptions) -> Reading:
    if options.inspect is not None:
        inspector = options.inspect(run)
        return Reading(inspector, inspector, wanted=run.wanted)
    inner = _make_reader(run, options)
    return Reading(_around(run, inner, options), inner, wanted=run.wanted)


def _make_reader(run: ShardRun, options: ReadOptions) -> Reader:
    if options.whole_members:
        return RawReader(run.shard, run.total, options)
    if options.raw:
        return ChunkReader()
    path = (run.path or local_path(run.shard.url)) if options.local_paths else None
    return ShardReader(run.shard, run.total, path, options, run.first)


def _around(run: ShardRun, inner: Reader, options: ReadOptions) -> BlockReader:
    reader: BlockReader = inner
    if isinstance(inner, ShardReader) and options.listing is not None and run.whole:
        reader = ListingReader(run, inner, options.listing)
    if options.verify and run.whole:  # of a part nobody knows the checksum
        listed = options.listed(run.shard.url)
        reader = with_checksum(run, reader, listed) if listed or run.checksum else reader
    limit = run.shard.limit
    return LimitReader(run, limit, reader, inner) if isinstance(inner, ShardReader) and limit is not None else reader


class ChunkReader:
    """Passes the bytes of an object on."""

    repeated_keys = 0
    seekable = False

    def __init__(self) -> None:
        self.failed = False
        self.held = 0

    def feed(self, chunk: Chunk) -> Iterable[Block]:
        return (Block([bytes(chunk)], len(chunk)),)

    def detach(self) -> None:
        """Nothing of a chunk is kept."""

    def finish(self) -> Iterator[Block]:
        return iter(())

    def abort(self, error: WdsError) -> Block:
        self.failed = True
        return Block([], 0, error)


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
