from __future__ import annotations

import asyncio

import pytest

from asyncwds.errors import FetchError
from asyncwds.runtime import Counters
from asyncwds.storage import MemoryFetcher
from asyncwds.testing import CHECKS, read


@pytest.mark.parametrize("options", [{}, {"ranged": False}, {"sized": False}, {"chunk_bytes": 1 << 30}], ids=str)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_memory_passes_the_contract(check, options):
    objects: dict[str, bytes] = {}
    fetcher = MemoryFetcher(objects, **options)
    await check(fetcher, lambda name, data: objects.update({name: data}) or name)
    assert fetcher.open_now == 0


async def test_counters_and_answers():
    counters = Counters()
    fetcher = MemoryFetcher({"a": b"0123456789"}, counters=counters, sized=False)
    answer, data = await read(fetcher, "a", 2, 5)
    assert (answer.start, answer.total, answer.ranged, data) == (2, None, True, b"234")
    assert (counters.requests, counters.bytes) == (1, 3)
    await fetcher.aclose()
    assert fetcher.closed


async def test_it_can_be_steered():
    gate = asyncio.Event()
    met: list[tuple[str, int | None]] = []

    async def steer(url: str, offset: int | None) -> None:
        met.append((url, offset))
        if url == "slow":
            await gate.wait()
        if offset == 4:
            raise FetchError("broken", url=url, offset=offset, retryable=True)

    fetcher = MemoryFetcher({"slow": b"0123", "broken": b"0123456"}, chunk_bytes=2, steer=steer)
    slow = asyncio.create_task(read(fetcher, "slow"))
    await asyncio.sleep(0)
    with pytest.raises(FetchError, match="broken"):
        await read(fetcher, "broken")
    assert (slow.done(), fetcher.open_now) == (False, 1)
    gate.set()
    assert (await slow)[1] == b"0123"
    assert [offset for url, offset in met if url == "broken"] == [None, 0, 2, 4]
