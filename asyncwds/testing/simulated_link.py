"""A link to an object store that takes no real time: what tuning does on it can be looked at, and comes out the same each time."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

from asyncwds.engine.blocks import ReadOptions
from asyncwds.engine.stream import BlockStream
from asyncwds.runtime.counters import Counters
from asyncwds.runtime.units import GiB, KiB, MiB
from asyncwds.settings.reading import Prefetch
from asyncwds.shards.shard import Shard
from asyncwds.storage.base import Answer, ChunkBody, ObjectRange
from asyncwds.testing.virtual_time import run_in_virtual_time

EARLY = 10e6  # [bytes]


@dataclass(frozen=True, slots=True)
class LinkModel:
    """What a link gives.

    first_byte       from a request to its answer [s]
    rate             of each connection [bytes/s]; None: no bound but that of all together
    total            of all connections together [bytes/s]
    request_seconds  of the processor for each request [s], and `byte_seconds` for each byte: one thing at a time
    chunk_bytes      that come at once [bytes]
    """

    first_byte: float
    rate: float | None
    total: float = 1.25e9
    request_seconds: float = 0.0005
    byte_seconds: float = 0.5e-9
    chunk_bytes: int = 256 * KiB


class _Server:
    """Serves one after another, each for a time [s]; gives the time at which it is done."""

    def __init__(self) -> None:
        self._free = 0.0

    def done(self, now: float, seconds: float) -> float:
        self._free = max(self._free, now) + seconds
        return self._free


class SimulatedLink:
    """A `Fetcher` of zeros: each url is an object of `size` [bytes]. To be used in `run_in_virtual_time`."""

    def __init__(self, model: LinkModel, size: int, counters: Counters) -> None:
        self._model = model
        self._size = size
        self._zeros = bytes(model.chunk_bytes)  # the same object again and again: nothing is copied
        self._counters = counters
        self._line, self._processor = _Server(), _Server()

    @asynccontextmanager
    async def open(self, wanted: ObjectRange, *, buffer: memoryview | None = None) -> AsyncGenerator[ChunkBody, None]:
        del buffer  # a fetcher may ignore it
        self._counters.requests += 1
        loop = asyncio.get_running_loop()
        sent = self._processor.done(loop.time(), self._model.request_seconds)
        await asyncio.sleep(sent - loop.time() + self._model.first_byte)
        stop = self._size if wanted.stop is None else min(wanted.stop, self._size)
        async with aclosing(self._chunks(wanted.start, stop)) as chunks:
            yield ChunkBody(Answer(wanted.start, self._size, "only", ranged=True), chunks)

    async def aclose(self) -> None:
        """There is nothing to free."""

    async def _chunks(self, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        loop, model = asyncio.get_running_loop(), self._model
        came = loop.time()
        for offset in range(start, stop, model.chunk_bytes):
            chunk = self._zeros[: stop - offset]
            came = max(
                came + (len(chunk) / model.rate if model.rate else 0.0), self._line.done(loop.time(), len(chunk) / model.total)
            )
            await asyncio.sleep(max(came, self._processor.done(loop.time(), len(chunk) * model.byte_seconds)) - loop.time())
            self._counters.bytes += len(chunk)
            yield chunk


@dataclass(frozen=True, slots=True)
class SimulatedRead:
    """Time [s] until all was there, and until 10 MB were; what was counted on the way."""

    seconds: float
    ten_megabytes: float
    counters: Counters


def read_simulated(
    model: LinkModel, prefetch: Prefetch, *, shards: int, size: int, slow: float = 0.0, slow_until: int = sys.maxsize
) -> SimulatedRead:
    """The engine reads so many shards of `size` [bytes] over such a link, in virtual time.

    `slow` [s] is what the consumer does with each MiB, of the first `slow_until` [bytes].
    """
    return run_in_virtual_time(_read(model, prefetch, shards, size, lambda received: slow if received < slow_until else 0.0))


async def _read(model: LinkModel, prefetch: Prefetch, shards: int, size: int, slow: Callable[[int], float]) -> SimulatedRead:
    counters = Counters()
    plan = iter([Shard(f"simulated://{number}", number) for number in range(shards)])
    options = ReadOptions(max_member_bytes=GiB, raw=True, verify=False)
    stream = BlockStream(plan, SimulatedLink(model, size, counters), prefetch, options, counters)
    clock, received, early = asyncio.get_running_loop(), 0, 0.0
    while (block := await stream.next_block()) is not None:
        received += block.nbytes
        early = early or (clock.time() if received >= EARLY else 0.0)
        await asyncio.sleep(block.nbytes / MiB * slow(received))
    seconds = clock.time()
    await stream.aclose()
    assert received == shards * size
    return SimulatedRead(seconds, early, counters)
