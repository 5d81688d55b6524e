"""How long does it take to begin an epoch of a million shards, and what goes to a worker for it?

    python -m bench plans

A pattern with braces, and a list of the same urls. Timed is one process: the dataset is made and pickled, and one place of 8 ranks
of 8 workers goes through the urls of its epoch in their shuffled order. Beside it the epoch of a process that is alone and reads
all of them, as they are asked for. Sent is the pickle. When every pattern was a list, the pattern took 12 s and
385 MB to construct alone, and sent 34 MB.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from zlib import crc32

from bench.harness import Contender, Question, Size, Target, World
from bench.tally import Tally

RANKS = WORKERS = 8


@contextmanager
def prepare(size: Size) -> Iterator[World]:
    shards = 1_000_000 if size == "full" else 64_000
    yield {"samples": shards // (RANKS * WORKERS), "bytes": 0, "shards": shards}


def a_pattern(shards: int) -> str:
    return f"https://data.example/train-{{0000000..{shards - 1:07}}}.tar"


def a_list(shards: int) -> list[str]:
    return [f"https://data.example/train-{number:07}.tar" for number in range(shards)]


def begin(make_urls: Callable[[int], str | list[str]], *, alone: bool = False) -> Callable[[World, Tally], None]:
    def run(world: World, tally: Tally) -> None:
        import asyncwds as wds

        urls = make_urls(world["shards"])
        dataset = wds.WebDataset(urls, nodesplitter=wds.split_by_node, shardshuffle=True, seed=1)
        tally.sent = len(pickle.dumps(dataset))
        place = wds.WorkerInfo() if alone else wds.WorkerInfo(3, RANKS, 5, WORKERS)
        for shard in dataset.pipeline[0].shards(0, place):
            tally.first = tally.first or perf_counter()
            tally.digest = crc32(shard.url.encode(), tally.digest)
            tally.samples += 1

    return run


QUESTION = Question(
    prepare=prepare,
    contenders={
        "a pattern": Contender(begin(a_pattern), needs=["asyncwds:WebDataset"]),
        "a list": Contender(begin(a_list), needs=["asyncwds:WebDataset"]),
        "a pattern, alone": Contender(begin(a_pattern, alone=True), needs=["asyncwds:WebDataset"], group="alone"),
    },
    columns=["seconds", "first", "peak", "sent"],
    targets=[
        Target("a pattern [s]", lambda a: a["a pattern"].seconds, at_most=0.2),
        Target("a pattern, peak [MB]", lambda a: a["a pattern"].peak / 1e6, at_most=20),
        Target("a pattern, sent [bytes]", lambda a: a["a pattern"].sent, at_most=2000),
    ],
)
