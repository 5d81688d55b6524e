"""What asyncwds is held against: the same bytes by bare aiohttp, the same samples by webdataset; and asyncwds itself."""

from __future__ import annotations

import asyncio
import zlib
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

from bench.harness import World
from bench.tally import Tally

if TYPE_CHECKING:
    import aiohttp

PART = 8 << 20  # [bytes] of a range request, as asyncwds takes by default


def bare_download(world: World, tally: Tally) -> None:
    """Every byte of `world["objects"]` ([url, size] each) in ranges of 8 MiB, by `world["connections"]` at once; thrown away."""
    asyncio.run(_download(world, tally))


async def _download(world: World, tally: Tally) -> None:
    import aiohttp

    ranges = _ranges(world)
    connector = aiohttp.TCPConnector(limit=world["connections"])
    # With aiohttp's own 64 KiB the download costs a quarter more CPU.
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False, read_bufsize=1 << 18) as session:

        async def connection() -> None:
            for url, start, stop in ranges:
                await _fetch(session, url, start, stop, tally)

        await asyncio.gather(*(connection() for _ in range(world["connections"])))


def download_in_order(world: World, tally: Tally) -> None:
    """The same ranges by as many connections, kept until those before them are there: what handing bytes on in order takes."""
    asyncio.run(_download_in_order(world, tally))


async def _download_in_order(world: World, tally: Tally) -> None:
    import aiohttp

    async def part(url: str, start: int, stop: int) -> list[bytes]:
        async with free, session.get(url, headers={"Range": f"bytes={start}-{stop - 1}"}) as response:
            response.raise_for_status()
            chunks = []
            while chunk := await response.content.readany():
                chunks.append(chunk)
            return chunks

    free = asyncio.Semaphore(world["connections"])
    ahead: deque[asyncio.Task[list[bytes]]] = deque()
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        for asked in _ranges(world):
            ahead.append(asyncio.create_task(part(*asked)))
            if len(ahead) > world["connections"]:
                _hand_on(await ahead.popleft(), tally)
        while ahead:
            _hand_on(await ahead.popleft(), tally)


def _hand_on(chunks: list[bytes], tally: Tally) -> None:
    digest = 0
    if tally.full:
        for chunk in chunks:
            digest = zlib.crc32(chunk, digest)
    tally.add_part(sum(map(len, chunks)), digest)


def _ranges(world: World) -> Iterator[tuple[str, int, int]]:
    for url, size in world["objects"]:
        for start in range(0, size, PART):
            yield url, start, min(start + PART, size)


async def _fetch(session: aiohttp.ClientSession, url: str, start: int, stop: int, tally: Tally) -> None:
    size = digest = 0
    async with session.get(url, headers={"Range": f"bytes={start}-{stop - 1}"}) as response:
        response.raise_for_status()
        while chunk := await response.content.readany():
            size += len(chunk)
            if tally.full:
                digest = zlib.crc32(chunk, digest)
    if size != stop - start:
        raise RuntimeError(f"{size} bytes instead of {stop - start}")
    tally.add_part(size, digest)


def read_webdataset(world: World, tally: Tally) -> None:
    """Every sample of `world["urls"]` by webdataset, undecoded; where a shard breaks, on with the next one."""
    import webdataset as wds

    for sample in wds.WebDataset(world["urls"], shardshuffle=False, handler=wds.ignore_and_continue):
        tally.add(sample)


def read_spdl(world: World, tally: Tally) -> None:
    """The members of `world["urls"]` by SPDL, which does not group them: two by two, under the names that they have as fields."""
    from spdl.io import iter_tarfile

    for path in world["urls"]:
        with open(path, "rb") as file:  # noqa: PTH123 - as its documentation has it
            members = iter_tarfile(file)
            for (_, first), (_, second) in zip(members, members, strict=True):
                tally.add({"a": bytes(first), "b": bytes(second)})


def read(world: World, tally: Tally) -> None:
    """Every sample of `world["urls"]`, undecoded, through `for`."""
    import asyncwds as wds

    for sample in wds.WebDataset(world["urls"], prefetch=world["connections"], shardshuffle=False):
        tally.add(sample)


def read_async(world: World, tally: Tally) -> None:
    """The same through `async for`."""
    asyncio.run(_consume(world, tally))


async def _consume(world: World, tally: Tally) -> None:
    import asyncwds as wds

    async for sample in wds.WebDataset(world["urls"], prefetch=world["connections"], shardshuffle=False):
        tally.add(sample)
