"""The reader's side of one shard: what reads it, and what of its blocks waits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from asyncwds.engine.blocks import Block, BlockReader, Reader, ReadOptions
from asyncwds.engine.checksum_reader import with_checksum
from asyncwds.engine.limit_reader import LimitReader
from asyncwds.engine.listing_reader import ListingReader
from asyncwds.engine.parts import ShardRun
from asyncwds.engine.raw_reader import RawReader
from asyncwds.engine.reader import ShardReader
from asyncwds.errors import WdsError
from asyncwds.shards.urls import local_path
from asyncwds.storage.base import Chunk


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
