"""The narrow waist: everything above asks a `Fetcher` for bytes, everything below is one.

A fetcher opens ranges of objects. Wrappers (`Retrying`) are fetchers again, and so is the fake for tests
(`MemoryFetcher`). All of them pass `asyncwds.testing.check_fetcher`. A `ChunkBody` is an answer and a generator of chunks.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class Answer:
    """What a source says about an object before its first byte comes.

    start     offset [bytes] of the first byte that will be delivered: the one asked for, or 0 where `ranged` is False
    total     size [bytes] of the whole object; None where the source does not say (pipes, chunked answers)
    identity  changes when the object is replaced (ETag, or time and size of a file); None where there is none
    ranged    the source serves any range; otherwise the only way is one stream from the beginning
    path      of a local file that has the whole object, where a cache has one
    checksum  of the whole object, as `sha256:0123…`; None where the source does not say it. Unless it `is_sure`, it may also be
              that of the range, which shows when answers differ
    """

    start: int
    total: int | None
    identity: str | None
    ranged: bool
    path: str | None = None
    checksum: str | None = None
    checksum_is_sure: bool = True


Chunk = bytes | memoryview
"""Some bytes of an object. A memoryview is a piece of the buffer that the body was opened with, which will be used again."""


class Body(Protocol):
    """An open answer. Iterating gives its bytes in order, in chunks as they come, none of them empty."""

    @property
    def answer(self) -> Answer: ...

    def __aiter__(self) -> AsyncIterator[Chunk]: ...


@runtime_checkable
class AcceptsHints(Protocol):
    """A fetcher, or a store, that can make use of being told what will be read."""

    def foresees(self, url: str) -> bool:
        """Whether anything would come of announcing this one."""
        ...

    def upcoming(self, urls: Sequence[str]) -> None:
        """These will be read some time soon. On the running loop; does not wait for what is done about it."""
        ...


@runtime_checkable
class Distrusting(Protocol):
    """A fetcher that keeps objects, and wants to know which were not what they should be."""

    def distrust(self, url: str) -> None:
        """The bytes of the object as a whole were others than those of its checksum. On the running loop; does not wait."""
        ...


@dataclass(frozen=True, slots=True)
class ObjectRange:
    """Bytes [start, stop) of the object `url`, to its end if `stop` is None or beyond it; of no other version than `identity`."""

    url: str
    start: int = 0
    stop: int | None = None
    identity: str | None = None


class Fetcher(Protocol):
    """Opens ranges of objects; must be used and closed on one event loop."""

    def open(self, wanted: ObjectRange, *, buffer: memoryview | None = None) -> AbstractAsyncContextManager[Body]:
        """Opens a range. Leaving the context frees everything.

        Where the answer says that there are no ranges, the body is the whole object, from byte 0 to its end.

        `buffer` is lent while the body is open, with room for all of the range: a body that can receive straight into
        memory may put each byte at its place there, the first at buffer[0], and give memoryviews of it as chunks.

        Entering raises NotFoundError, AccessError, ChangedError (the object is not `wanted.identity` any more) or another
        FetchError; iterating raises FetchError. A body that ends early raises ShortBodyError, it never just stops.
        """
        ...

    async def aclose(self) -> None:
        """Frees connections, threads and files. Idempotent."""
        ...


@dataclass(frozen=True, slots=True)
class ChunkBody:
    """Whoever opens it closes `chunks`."""

    answer: Answer
    chunks: AsyncGenerator[Chunk, None]

    def __aiter__(self) -> AsyncIterator[Chunk]:
        return self.chunks


@dataclass(frozen=True, slots=True)
class PassedOn:
    """A body with another answer."""

    answer: Answer
    body: Body

    def __aiter__(self) -> AsyncIterator[Chunk]:
        return aiter(self.body)


async def crop(body: Body, start: int, stop: int | None) -> AsyncGenerator[Chunk, None]:
    """Bytes [start, stop) of a body that may begin before them, as one without ranges does, and go on behind them."""
    position = body.answer.start
    async for chunk in body:
        piece = chunk[max(0, start - position) : None if stop is None else stop - position]
        position += len(chunk)
        if piece:
            yield piece
        if stop is not None and position >= stop:
            return
