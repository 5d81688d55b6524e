"""Runs of samples in a file or in memory, of which no more is known than keys and places: what is copied needs no more.

No I/O of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

from asyncwds.tar.headers import NEVER
from asyncwds.tar.parser import TarParser
from asyncwds.tar.raw import Piece, RawGrouper, RawSample, Readable


@dataclass(frozen=True, slots=True)
class RawRun:
    """Samples that stand side by side, with nothing between them; no two in a row have the same key.

    `offsets` [bytes] are where each begins, and where the last one ends; `ordinal` is that of the first.
    """

    url: str
    shard: int
    ordinal: int
    source: bytes | Readable
    keys: list[str]
    offsets: list[int]

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def nbytes(self) -> int:
        """Bytes in the archive."""
        return self.offsets[-1] - self.offsets[0]

    @property
    def piece(self) -> Piece:
        """All of it."""
        return Piece(self.source, self.offsets[0], self.offsets[-1])

    def cut(self, first: int, stop: int) -> RawRun:
        """Its samples [first, stop)."""
        if (first, stop) == (0, len(self.keys)):
            return self
        return RawRun(
            self.url, self.shard, self.ordinal + first, self.source, self.keys[first:stop], self.offsets[first : stop + 1]
        )

    def sample(self, number: int) -> RawSample:
        """One of them, with its members. It is read."""
        start, stop = self.offsets[number : number + 2]
        parser = TarParser(self.url, offset=start, headers_only=True, max_member_bytes=NEVER)
        grouper = RawGrouper(self.url, self.shard, lambda first, stop: (Piece(self.source, first, stop),), self.ordinal + number)
        grouper.add(parser.feed(bytes(Piece(self.source, start, stop).read())), stop)
        (sample,) = grouper.finish_sample()
        return sample


def number_of(item: RawSample | RawRun) -> int:
    """How many samples it is."""
    return len(item) if isinstance(item, RawRun) else 1
