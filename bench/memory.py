"""Does the budget hold? Peak of resident memory against `buffer_bytes`, with a consumer that sleeps.

    python -m bench memory

Shards of 110 KB samples, larger than the budget, over HTTP on loopback with 8 connections; the consumer sleeps long enough
for everything that may be fetched ahead to have come. Peaks are over the process before it starts to read.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bench import data
from bench.harness import Answer, Contender, Question, Size, Target, World
from bench.tally import Tally

MIB = 1 << 20
BUDGETS = (16 * MIB, 64 * MIB, 256 * MIB)
PAUSES = 5


@contextmanager
def prepare(size: Size) -> Iterator[World]:
    # 2 shards of 396 MB; the small size holds no more than the smallest budget a few times over.
    samples, pause = (3600, 0.5) if size == "full" else (300, 0.1)
    with data.shards(2, samples=samples, size=110_000) as files, data.served(files, connections=8) as world:
        yield {**world, "pause": pause}


def sleepy(budget: int) -> Callable[[World, Tally], None]:
    def run(world: World, tally: Tally) -> None:
        import asyncwds as wds

        prefetch = wds.Prefetch(connections=world["connections"], buffer_bytes=budget)
        for number, sample in enumerate(wds.WebDataset(world["urls"], prefetch=prefetch, shardshuffle=False)):
            tally.add(sample)
            if number % (world["samples"] // PAUSES) == 0:
                time.sleep(world["pause"])

    return run


def peak_over_limit(name: str, budget: int) -> Callable[[Answer], float]:
    return lambda answer: answer[name].peak / (1.25 * budget + 64e6)


NAMES = {f"{budget // MIB} MiB": budget for budget in BUDGETS}
QUESTION = Question(
    prepare=prepare,
    contenders={
        name: Contender(sleepy(budget), needs=["asyncwds:WebDataset", "asyncwds.storage.stores.fetcher"])
        for name, budget in NAMES.items()
    },
    columns=["peak", "mb_per_second"],
    targets=[
        Target(f"{name}: peak over 1.25 x buffer_bytes + 64 MB", peak_over_limit(name, budget), at_most=1.0)
        for name, budget in NAMES.items()
    ],
)
