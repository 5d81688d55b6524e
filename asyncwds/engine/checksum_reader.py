"""Shards that are read in parts, checked with the checksum that is kept of them: `ChecksumReader`, a reader around a reader."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from asyncwds.engine.blocks import Block, BlockReader
from asyncwds.engine.parts import ShardRun
from asyncwds.errors import SpecError, WdsError
from asyncwds.storage.base import Chunk
from asyncwds.storage.layers.checksum_fetcher import mismatch
from asyncwds.storage.layers.checksums import Digest, agrees, digest_for


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
