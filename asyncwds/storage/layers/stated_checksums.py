"""Checksums that a store does not tell with ranges: `StatedChecksums`, a fetcher around a fetcher, asks for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Protocol, runtime_checkable

from asyncwds.errors import WdsError
from asyncwds.storage.base import Answer, Body, Fetcher, ObjectRange
from asyncwds.storage.body import PassedOn
from asyncwds.storage.ranges import ObjectMetadata

PATIENCE = 2.0
"""[s] For which bytes that have begun to come wait for the checksum, and no longer: a store that does not tell it is no failure."""
_REMEMBERED = 1024  # objects that are read at the same time, at most


@runtime_checkable
class StatesChecksums(Protocol):
    """A fetcher, or a store, that can be asked."""

    async def checksum(self, url: str) -> ObjectMetadata:
        """The checksum of a whole object, and the version that it is of. Raises FetchError."""
        ...


class StatedChecksums:
    """Adds the checksum that `ask` finds to all answers about an object, if both are about the same version of it.

    One small request for each object, behind the first answer: what is refused is not asked about. Where it fails there is no
    checksum.
    """

    def __init__(self, fetcher: Fetcher, ask: Callable[[str], Awaitable[ObjectMetadata]]) -> None:
        self._fetcher = fetcher
        self._ask = ask
        self._known: dict[tuple[str, str], str | None] = {}

    @asynccontextmanager
    async def open(self, wanted: ObjectRange, *, buffer: memoryview | None = None) -> AsyncGenerator[Body, None]:
        async with self._fetcher.open(wanted, buffer=buffer) as body:
            checksum = await self._checksum(wanted.url, body.answer, first=wanted.identity is None)
            yield body if checksum is None else PassedOn(replace(body.answer, checksum=checksum), body)

    async def aclose(self) -> None:
        await self._fetcher.aclose()

    async def _checksum(self, url: str, answer: Answer, *, first: bool) -> str | None:
        if answer.identity is None:
            return None
        known = (url, answer.identity)
        if first and known not in self._known:
            self._known[known] = await self._ask_store(url, answer.identity)
            while len(self._known) > _REMEMBERED:
                del self._known[next(iter(self._known))]
        return self._known.get(known)

    async def _ask_store(self, url: str, identity: str) -> str | None:
        try:
            async with asyncio.timeout(PATIENCE):
                metadata = await self._ask(url)
        except (WdsError, TimeoutError):
            return None
        return metadata.checksum if metadata.identity == identity else None
