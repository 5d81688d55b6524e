"""What readers of shards make of bytes, `Block`s, and how: `ReadOptions`."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from asyncwds.errors import RepeatedKeyError, ShardWarning, TrailingBytesError
from asyncwds.settings.reading import MAX_HEADER_BYTES
from asyncwds.tar.grouping import size_of

if TYPE_CHECKING:
    from asyncwds.engine.parts import ShardRun
    from asyncwds.errors import WdsError
    from asyncwds.storage.base import Chunk
    from asyncwds.tar.members import Member, NoteEntry


class Block(NamedTuple):
    """What crosses from the engine to a consumer: the samples that one chunk completed, then perhaps an error.

    `nbytes` [bytes] is what they hold, to within a chunk: a sample that came in many chunks counts with all its bytes. `error`
    comes after the samples and stands for what is missing behind them: one field of a sample (a SampleError, or an error of the
    user's), or the rest of the shard. It is data here: whoever consumes decides whether it ends the stream.
    """

    samples: list[Any]  # of `Sample`; of bytes where an object is read raw
    nbytes: int
    error: Exception | None = None
    turns: tuple[Any, ...] = ()  # of `Turn`: whose the samples are, for whoever wants to go on behind one of them


def _unlisted(url: str) -> None:  # noqa: ARG001 - where there is no manifest
    return None


class ShardListing(NamedTuple):
    """All samples of a shard: key, ordinal, offset [bytes] of the first header, and of each field name and size [bytes].

    `payloads` are offsets [bytes] by that of the member's first header, where headers take more than a block.
    """

    url: str
    size: int | None
    identity: str | None
    payloads: dict[int, int]
    samples: list[tuple[str, int, int, tuple[tuple[str, int], ...]]]


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How members become samples: which are read, under which names, and how large they may be.

    `local_paths` adds `__local_path__` to samples of local shards. `raw` reads no tar: the samples are the chunks as they come.
    `whole_members` gives `RawSample`s, with members as they stand in the archive, in place of samples.
    `headers_only` gives fields the `Extent` of their bytes as values.
    `verify` compares an object with the checksum of the whole that its store keeps, as its bytes come; or with what `listed`
    gives for its url, if that is not None.
    `strict` leaves out samples whose key had been there before another one.
    `listing` is called with what each shard has that was read to its end.
    `members` is called with members before they become samples, `note` with headers that are not those of plain files.
    `inspect` makes the reader of a shard, in place of all this: what its blocks have comes out in place of samples.
    """

    max_member_bytes: int
    select: Callable[[str], bool] | None = None
    rename: Callable[[str], str] | None = None
    local_paths: bool = True
    raw: bool = False
    headers_only: bool = False
    whole_members: bool = False
    max_header_bytes: int = MAX_HEADER_BYTES
    verify: bool = True
    listed: Callable[[str], str | None] = _unlisted
    strict: bool = False
    listing: Callable[[ShardListing], object] | None = None
    members: Callable[[list[Member]], object] | None = None
    note: NoteEntry | None = None
    inspect: Callable[[ShardRun], Reader] | None = None

    def size_of(self, sample: Any) -> int:
        """Bytes of one item that the readers give out."""
        return int(sample.nbytes) if self.whole_members else size_of(sample)


class BlockReader(Protocol):
    """Takes the chunks of an object in order. `failed`: the rest of it cannot be read."""

    @property
    def failed(self) -> bool: ...

    def feed(self, chunk: Chunk) -> Iterable[Block]:
        """Blocks completed by a chunk of the object; lazy, so that a small chunk that unpacks to much is never all in memory.

        A chunk that is a memoryview must stay as it is until its blocks are taken and `Reader.detach` is called.
        """
        ...

    def finish(self) -> Iterator[Block]:
        """What is left at the object's end, and an error if that came too early."""
        ...

    def abort(self, error: WdsError) -> Block:
        """What is left where the object ends early, with the error that ended it."""
        ...


class Reader(BlockReader, Protocol):
    """One that keeps of the chunks what it needs, and is around no other one."""

    @property
    def held(self) -> int:
        """Bytes kept of the chunks fed so far: of a sample that is not complete."""
        ...

    @property
    def repeated_keys(self) -> int:
        """Samples whose key had been there before another one."""
        ...

    @property
    def seekable(self) -> bool:
        """Whether what comes next can be read without what came before."""
        ...

    def detach(self) -> None:
        """Copies what is still needed of the chunks fed so far."""
        ...


COSTS_NOTHING = (TrailingBytesError, RepeatedKeyError)
"""Faults of a shard that cost none of its samples."""


def tolerated(error: Exception, *, strict: bool) -> bool:
    """Whether reading goes on as if nothing were wrong, after a ShardWarning."""
    if strict or not isinstance(error, COSTS_NOTHING):
        return False
    warnings.warn(str(error), ShardWarning, stacklevel=3)
    return True
