"""Does it hold out? 20 GB through random cuts, resets, stalls and refusals, past a shard that is ten times slower.

    python -m bench soak --repeats 1

40 MB/s for each of 16 connections, first bytes after 20 ms. Of all requests 0.5 % are cut cleanly, 0.5 % reset, 0.2 % stall and
0.5 % are refused with 503. Every sample has to be there in the end, once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from asyncwds import Prefetch
from bench import data, peers
from bench.bad_day import watched
from bench.harness import Contender, Question, Size, Target, World
from bench.tally import Tally

CONNECTIONS = 16
RATE = 40e6  # [bytes/s] of each connection
WEATHER = {"cut": 0.005, "reset": 0.005, "stall": 0.002, "busy": 0.005, "median": 0.02, "seed": 1}


@contextmanager
def prepare(size: Size) -> Iterator[World]:
    count, samples, passes = (16, 600, 19) if size == "full" else (2, 40, 2)
    slow = {"slow": {"shard-000001.tar": RATE / 10}}
    with (
        data.shards(count, samples=samples, size=110_000) as files,
        data.served(files, connections=CONNECTIONS, rate=RATE, weather={**WEATHER, **slow}) as world,
    ):
        parts = sum(-(-size // Prefetch().part_size()) for _, size in world["objects"])
        totals = {"samples": files["samples"], "bytes": files["bytes"], "parts": parts}
        yield {**world, "urls": world["urls"] * passes, **{name: total * passes for name, total in totals.items()}}


def read(world: World, tally: Tally) -> None:
    with watched(world["server"], tally):
        peers.read(world, tally)


QUESTION = Question(
    prepare=prepare,
    contenders={"asyncwds": Contender(read, needs=["asyncwds:WebDataset", "asyncwds.storage.stores.fetcher"])},
    columns=["seconds", "mb_per_second", "cpu_per_gb", "peak", "lost", "extra_bytes", "extra_requests"],
    targets=[
        Target("samples lost", lambda a: a["asyncwds"].lost, at_most=0),
        Target("extra bytes", lambda a: a["asyncwds"].extra_bytes, at_most=0.03),
    ],
)
