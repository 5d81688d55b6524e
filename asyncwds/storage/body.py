"""A body that is an answer and a generator of chunks."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass

from asyncwds.storage.base import Answer, Body, Chunk


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
