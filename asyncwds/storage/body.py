"""A body that is an answer and a generator of chunks."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass

from asyncwds.storage.base import Answer, Chunk


@dataclass(frozen=True, slots=True)
class ChunkBody:
    """Whoever opens it closes `chunks`."""

    answer: Answer
    chunks: AsyncGenerator[Chunk, None]

    def __aiter__(self) -> AsyncIterator[Chunk]:
        return self.chunks
