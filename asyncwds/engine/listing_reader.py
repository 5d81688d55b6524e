"""Shards that are read to their end, listed by the way: `ListingReader`, a reader around a reader."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from asyncwds.engine.blocks import Block, ShardListing
from asyncwds.engine.parts import ShardRun
from asyncwds.engine.reader import ShardReader
from asyncwds.errors import WdsError
from asyncwds.samples import Sample
from asyncwds.storage.base import Chunk


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
