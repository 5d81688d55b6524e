"""What does it cost to carry a sample from the event loop into the caller's thread?

    python -m bench bridge

The same 400-byte samples from a local file, taken on the engine's own loop (`open_samples`) and through the bridge (`for`).
The difference is the bridge's; where there are two cores it can be negative, for then both threads work at once.
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager

from bench import data, peers
from bench.harness import Contender, Question, Size, Target, World
from bench.tally import Tally


def prepare(size: Size) -> AbstractContextManager[World]:
    return data.shards(2, samples=40_000 if size == "full" else 500, size=200, fields=("a", "b"))


def on_the_loop(world: World, tally: Tally) -> None:
    asyncio.run(_consume(world, tally))


async def _consume(world: World, tally: Tally) -> None:
    import asyncwds as wds

    async with wds.open_samples(world["urls"], prefetch=world["connections"]) as samples:
        async for sample in samples:
            tally.add(sample)


QUESTION = Question(
    prepare=prepare,
    contenders={
        "on the loop": Contender(on_the_loop, needs=["asyncwds:open_samples"]),
        "through the bridge": Contender(peers.read, needs=["asyncwds:WebDataset"]),
    },
    columns=["us_per_sample", "samples_per_second"],
    targets=[
        Target(
            "µs per sample more than on the loop",
            lambda a: a["through the bridge"].us_per_sample - a["on the loop"].us_per_sample,
            at_most=2.0,
        ),
    ],
)
