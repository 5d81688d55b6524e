"""What does a cache save, and what does it cost?

    python -m bench cache

Samples of 110 KB over HTTP on loopback from one server process, 8 connections, through a folder for shards. "first epoch" finds
it empty, "second epoch" full; "local files" are the same shards read as files, "no cache" is the server alone. Of the four
processes that share an empty folder each reads all shards, in the same order: the server counts what it sends. As always the
figures are over the bytes of the data set, also where that is read four times. The first epoch has no target: it writes
everything, and is as fast as the disk lets it.
"""

from __future__ import annotations

import asyncio
import atexit
import multiprocessing
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

from bench import data
from bench.bad_day import watched
from bench.harness import Answer, Contender, Question, Size, Target, World
from bench.tally import Tally

PROCESSES = 4


@contextmanager
def prepare(size: Size) -> Iterator[World]:
    count, samples = (16, 600) if size == "full" else (4, 40)
    with (
        data.shards(count, samples=samples, size=110_000) as files,
        data.served(files, connections=8) as world,
        tempfile.TemporaryDirectory(prefix="asyncwds-bench-") as folder,
    ):
        asyncio.run(_read(world["urls"], folder, Tally(full=False)))
        yield {**world, "files": files["urls"], "full": folder}


async def _read(urls: list[str], folder: str | None, tally: Tally) -> None:
    import asyncwds as wds

    # A second request for what is late would count as another fetch.
    settings: dict[str, Any] = {"prefetch": 8, "retry": wds.Retry(hedge=None)}
    async with wds.open_samples(urls, cache=wds.Cache(folder) if folder else None, **settings) as samples:
        async for sample in samples:
            tally.add(sample)


def read(place: str, folder: str | None) -> Callable[[World, Tally], None]:
    def run(world: World, tally: Tally) -> None:
        asyncio.run(_read(world[place], folder and world[folder], tally))

    return run


def empty_folder() -> str:
    """It is removed when this process ends, which is not timed."""
    folder = tempfile.mkdtemp(prefix="asyncwds-bench-")
    atexit.register(shutil.rmtree, folder)
    return folder


def read_first(world: World, tally: Tally) -> None:
    asyncio.run(_read(world["urls"], empty_folder(), tally))


def read_by_four(world: World, tally: Tally) -> None:
    context = multiprocessing.get_context("spawn")
    folder = empty_folder()
    with watched(world["server"], tally), ProcessPoolExecutor(PROCESSES, context) as processes:
        for found in processes.map(_read_all, [(world["urls"], folder, tally.full)] * PROCESSES):
            tally.samples += found[0]
            tally.bytes += found[1]
            tally.digest += found[2]


def _read_all(arguments: tuple[list[str], str, bool]) -> tuple[int, int, int]:
    urls, folder, full = arguments
    tally = Tally(full=full)
    asyncio.run(_read(urls, folder, tally))
    return tally.samples, tally.bytes, tally.digest


def over_local(name: str) -> Callable[[Answer], float]:
    return lambda answer: answer[name].mb_per_second / answer["local files"].mb_per_second


NEEDS = ["asyncwds:open_samples", "asyncwds.storage.stores.fetcher", "asyncwds.storage.cache"]
QUESTION = Question(
    prepare=prepare,
    contenders={
        "second epoch": Contender(read("urls", "full"), needs=NEEDS),
        "local files": Contender(read("files", None), needs=NEEDS),
        "first epoch": Contender(read_first, needs=NEEDS),
        "no cache": Contender(read("urls", None), needs=NEEDS),
        "first, four processes": Contender(read_by_four, needs=NEEDS, group="four"),
    },
    columns=["mb_per_second", "cpu_per_gb", "first", "peak"],
    targets=[
        Target("second epoch: MB/s over local files", over_local("second epoch"), at_least=0.9),
        Target(
            "four processes, one empty folder: bytes sent over bytes of the data set",
            lambda a: 1 + a["first, four processes"].extra_bytes,
            at_most=1.005,
        ),
    ],
)
