"""Readers around a reader: `ChecksumReader` compares shards that are read in parts with the checksum that is kept of them,
`LimitReader` ends at a number of samples, and `ListingReader` lists what is read to its end by the way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from asyncwds.engine.blocks import Block, BlockReader, ShardListing
from asyncwds.engine.parts import ShardRun
from asyncwds.engine.reader import ShardReader
from asyncwds.errors import ChangedError, SpecError, StaleIndexError, WdsError
from asyncwds.formatting.texts import plural
from asyncwds.samples import PADDING, Sample
from asyncwds.shards.shard import Limit
from asyncwds.storage.base import Chunk
from asyncwds.storage.layers.checksums import Digest, agrees, digest_for, mismatch


def with_checksum(run: ShardRun, reader: BlockReader, listed: str | None = None) -> BlockReader:
    """The reader, and around it the comparison where a checksum is known that can be computed.

    One that is `listed` in a manifest goes before the store's: it is that of the shard that was written there.
    """
    try:
        digest = digest_for(listed or run.checksum)
    except SpecError:  # a library is missing, and nobody insisted
        return reader
    return reader if digest is None else ChecksumReader(run, reader, digest, listed)


class ChecksumReader:
    """Gives an error in place of the end where the bytes were others; the samples before it have been given out by then."""

    def __init__(self, run: ShardRun, reader: BlockReader, digest: Digest, listed: str | None) -> None:
        self._run = run
        self._reader = reader
        self._digest = digest
        self._listed = listed
        self._size = 0
        self._differs = False

    @property
    def failed(self) -> bool:
        return self._differs or self._reader.failed

    def feed(self, chunk: Chunk) -> Iterable[Block]:
        self._digest.update(chunk)
        self._size += len(chunk)
        return self._reader.feed(chunk)

    def abort(self, error: WdsError) -> Block:
        return self._reader.abort(error)

    def finish(self) -> Iterator[Block]:
        yield from self._reader.finish()
        checksum = self._listed or self._run.checksum
        if self._reader.failed or checksum is None or agrees(self._digest, checksum):
            return
        self._differs = True
        yield Block([], 0, self._mismatch(checksum))

    def _mismatch(self, checksum: str) -> WdsError:
        keeper = "store" if self._listed is None else "manifest"
        return mismatch(self._run.shard.url, self._size, self._digest, checksum, keeper)


class LimitReader:
    """Ends behind the last sample before a limit; `complete` says that it has come. It gives a StaleIndexError where the shard has
    another number of samples than was counted, or is another one.

    `parser` is the reader in `reader` that knows what it has parsed.
    """

    def __init__(self, run: ShardRun, limit: Limit, reader: BlockReader, parser: ShardReader) -> None:
        self.complete = False
        self._run = run
        self._limit = limit
        self._reader = reader
        self._parser = parser
        self._position = run.first[1]  # byte
        self._stale = False

    @property
    def failed(self) -> bool:
        return self._stale or (self._reader.failed and not self.complete)

    def feed(self, chunk: Chunk) -> Iterable[Block]:
        size, total = self._limit.size, self._run.total
        if size is not None and total is not None and size != total:
            return (self._stale_block(f"{size} bytes", f"{total} bytes"),)
        self._position += len(chunk)
        return self._own(self._reader.feed(chunk))

    def finish(self) -> Iterator[Block]:
        """Where it is known where the last sample ends, that is the end of the bytes too."""
        limit = self._limit
        ends_here = not limit.to_end and self._position == limit.end
        yield from self._own(self._parser.finish_at_sample() if ends_here else self._reader.finish())
        if limit.counted and not self.complete and not self.failed and self._parser.ordinal < limit.stop:
            yield self._miscounted(self._parser.ordinal, "no more than ")

    def abort(self, error: WdsError) -> Block:
        begin, counted = self._run.shard.begin, self._limit.counted
        if (
            counted
            and isinstance(error, ChangedError)
            and begin is not None
            and begin.identity
            and self._position == self._run.first[1]
        ):
            return self._stale_block(f"the ETag {begin.identity}", "another one")
        return self._cut(self._reader.abort(error))

    def _own(self, blocks: Iterable[Block]) -> Iterator[Block]:
        for block in blocks:
            yield self._cut(block)
            if self.complete or self._stale:
                return

    def _cut(self, block: Block) -> Block:
        samples, limit = block.samples, self._limit
        if limit.padding is not None:
            for sample in samples:
                sample[PADDING] = limit.padding
        seen = samples[-1]._origin[1] + 1 if samples else 0  # noqa: SLF001 - an Origin would be made for each
        if seen < limit.stop or (seen == limit.stop and limit.to_end):
            return block
        own = samples[: len(samples) - seen + limit.stop] if seen > limit.stop else samples
        if limit.to_end:
            return self._miscounted(seen, "at least ", Block(own, block.nbytes))
        self.complete = True
        return Block(own, block.nbytes)  # an error behind them is another place's

    def _miscounted(self, found: int, about: str, block: Block | None = None) -> Block:
        counted = ("" if self._limit.to_end else "at least ") + plural(self._limit.stop, "sample")
        return self._stale_block(counted, about + plural(found, "sample"), block)

    def _stale_block(self, counted: str, found: str, block: Block | None = None) -> Block:
        self._stale = True
        error = StaleIndexError(
            f"the shard is another one than its samples were counted of, by which split='samples' goes: {counted} then, "
            f"{found} now; `asyncwds index` counts anew",
            url=self._run.shard.url,
        )
        error.indexed, error.found = counted, found
        samples, nbytes = ([], 0) if block is None else block[:2]
        return Block(samples, nbytes, error)


class ListingReader:
    """Tells `listed` what a shard has, once that was read to its end without an error. Not of a compressed one."""

    def __init__(self, run: ShardRun, reader: ShardReader, listed: Callable[[ShardListing], object]) -> None:
        self._run = run
        self._reader = reader
        self._listed = listed
        self._samples: list[tuple[str, int, int, tuple[tuple[str, int], ...]]] = []
        self._sound = True

    @property
    def failed(self) -> bool:
        return self._reader.failed

    def feed(self, chunk: Chunk) -> Iterable[Block]:
        return map(self._note, self._reader.feed(chunk))

    def finish(self) -> Iterator[Block]:
        yield from map(self._note, self._reader.finish())
        if self._sound and not self._reader.failed and not self._reader.compressed:
            run = self._run
            self._listed(ShardListing(run.shard.url, run.total, run.identity, self._reader.payloads, self._samples))

    def abort(self, error: WdsError) -> Block:
        return self._reader.abort(error)

    def _note(self, block: Block) -> Block:
        self._sound = self._sound and block.error is None
        self._samples += map(_list_sample, block.samples)
        return block


def _list_sample(sample: Sample) -> tuple[str, int, int, tuple[tuple[str, int], ...]]:
    _, ordinal, offset = sample.origin
    fields = tuple([(name, len(value)) for name, value in sample.items() if type(value) is bytes])
    return sample["__key__"], ordinal, offset, fields
