"""What does it cost to carry a sample from the event loop into the caller's thread?

    python -m bench bridge

Samples of 400 bytes, in blocks as they come from network data of 256 KiB. First the bridge alone: the same blocks, made in
advance, taken on the loop and through the bridge; the difference is the bridge's. Then everything, from a local file: on the
engine's own loop (`open_samples`) and in the caller's thread (`for`), where two threads share one interpreter.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager, closing

from asyncwds.bridges import Bridge
from asyncwds.engine import Block
from asyncwds.runtime import Counters, MiB
from asyncwds.samples import Sample
from bench import data, peers
from bench.harness import Contender, Question, Size, Target, World
from bench.tally import Tally

BLOCK = 128  # samples: with headers and padding two fields of 200 bytes take 2 KiB


class Blocks:
    """Gives the same block again and again."""

    def __init__(self, count: int) -> None:
        samples = [Sample(__key__=f"{number:06d}", a=bytes(200), b=bytes(200)) for number in range(BLOCK)]
        self._block = Block(samples, BLOCK * 2048)
        self._left = count

    def ready_block(self) -> Block | None:
        self._left -= 1
        return self._block if self._left >= 0 else None

    async def next_block(self) -> Block | None:
        return self.ready_block()


def prepare(size: Size) -> AbstractContextManager[World]:
    return data.shards(2, samples=300 * BLOCK if size == "full" else 5 * BLOCK, size=200, fields=("a", "b"))


def blocks_on_the_loop(world: World, tally: Tally) -> None:
    async def consume() -> None:
        source = Blocks(world["samples"] // BLOCK)
        while (block := await source.next_block()) is not None:
            for sample in block.samples:
                tally.add(sample)

    asyncio.run(consume())


def blocks_through_the_bridge(world: World, tally: Tally) -> None:
    @asynccontextmanager
    async def source() -> AsyncIterator[Blocks]:
        yield Blocks(world["samples"] // BLOCK)

    with closing(Bridge(source, window=32 * MiB, counters=Counters(), loop_factory=asyncio.new_event_loop)) as bridge:
        for block in bridge:
            for sample in block.samples:
                tally.add(sample)


def on_the_loop(world: World, tally: Tally) -> None:
    async def consume() -> None:
        import asyncwds as wds

        async with wds.open_samples(world["urls"], prefetch=world["connections"]) as samples:
            async for sample in samples:
                tally.add(sample)

    asyncio.run(consume())


QUESTION = Question(
    prepare=prepare,
    contenders={
        "blocks on the loop": Contender(blocks_on_the_loop, group="blocks"),
        "blocks through the bridge": Contender(blocks_through_the_bridge, group="blocks"),
        "a file on the loop": Contender(on_the_loop, needs=["asyncwds:open_samples"]),
        "a file by for": Contender(peers.read, needs=["asyncwds:WebDataset"]),
    },
    columns=["us_per_sample", "samples_per_second"],
    targets=[
        Target(
            "µs per sample for the bridge alone",
            lambda a: a["blocks through the bridge"].us_per_sample - a["blocks on the loop"].us_per_sample,
            at_most=2.0,
        ),
    ],
)
