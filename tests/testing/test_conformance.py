"""The checks must refuse fetchers that are wrong in one way each."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from asyncwds.errors import FetchError, NotFoundError
from asyncwds.storage import ChunkBody, MemoryFetcher
from asyncwds.testing import check_fetcher


class Wrong:
    """A memory fetcher with one defect."""

    def __init__(self, objects: dict[str, bytes], defect: str) -> None:
        self._fetcher = MemoryFetcher(objects)
        self._defect = defect

    @asynccontextmanager
    async def open(self, wanted, *, buffer=None):
        url = wanted.url
        if self._defect == "pins nothing":
            wanted = replace(wanted, identity=None)
        if self._defect == "reads on" and wanted.stop is not None:
            wanted = replace(wanted, stop=wanted.stop + 1)
        try:
            async with self._fetcher.open(wanted, buffer=buffer) as body:
                answer = replace(body.answer, start=0) if self._defect == "wrong start" else body.answer
                yield ChunkBody(answer, self._chunks(aiter(body)))
        except NotFoundError as error:
            if self._defect == "another error":
                raise FetchError("gone", url=url) from error
            if self._defect == "no url":
                raise NotFoundError("gone") from error
            raise

    async def _chunks(self, chunks: AsyncIterator[bytes]):
        if self._defect == "empty chunk":
            yield b""
        async for chunk in chunks:
            if self._defect == "misplaces" and isinstance(chunk, memoryview):
                yield memoryview(bytes(chunk)[::-1])
            else:
                yield chunk[:-1] if self._defect == "loses a byte" else chunk

    async def aclose(self) -> None:
        if self._defect == "closes once" and self._fetcher.closed:
            raise RuntimeError("closed already")
        await self._fetcher.aclose()


@pytest.mark.parametrize(
    ("defect", "check"),
    [
        ("loses a byte", "whole_objects"),
        ("empty chunk", "whole_objects"),
        ("reads on", "ranges"),
        ("wrong start", "ranges"),
        ("misplaces", "ranges_into_a_buffer"),
        ("another error", "missing_objects"),
        ("no url", "missing_objects"),
        ("pins nothing", "replaced_objects"),
    ],
)
async def test_a_defect_is_found_and_its_check_named(defect, check):
    objects: dict[str, bytes] = {}
    with pytest.raises(AssertionError, match=f"^{check}: "):
        await check_fetcher(lambda: Wrong(objects, defect), lambda name, data: objects.update({name: data}) or name)


async def test_closing_only_once_is_found():
    objects: dict[str, bytes] = {}
    with pytest.raises(RuntimeError):
        await check_fetcher(lambda: Wrong(objects, "closes once"), lambda name, data: objects.update({name: data}) or name)


async def test_a_sound_fetcher_passes():
    objects: dict[str, bytes] = {}
    await check_fetcher(lambda: Wrong(objects, ""), lambda name, data: objects.update({name: data}) or name)
