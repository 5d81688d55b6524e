"""A body that is an answer and a generator of chunks."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass

from asyncwds.storage.base import Answer


@dataclass(frozen=True, slots=True)
class ChunkBody:
    """Whoever opens it closes `chunks`."""

    answer: Answer
    chunks: AsyncGenerator[bytes, None]

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self.chunks
