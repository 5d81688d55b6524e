"""How close does streaming come to a bare download, where the link costs nothing and only the work counts?

    python -m bench http_throughput

Samples of 110 KB, raw bytes, over HTTP on loopback from one server process, 8 connections. The bare download asks for the
same ranges by as many connections and throws each chunk away at once, so that its memory is always the same and in the
cache; the one in order keeps what came too early, as every reader must that hands bytes on in order, and parses nothing.
webdataset reads in one process. Everything is read four times over, 4 GB: what a run costs once (threads, connections, memory
that is touched first) is a quarter of the CPU time of one that reads 1 GB. The machine's cores are shared by client and server, so
MB/s is a figure of this machine; the ratios hold better than it does.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bench import data, peers
from bench.harness import Contender, Question, Size, Target, World

PASSES = 4


@contextmanager
def prepare(size: Size) -> Iterator[World]:
    count, samples = (16, 600) if size == "full" else (4, 40)
    with data.shards(count, samples=samples, size=110_000) as files, data.served(files, connections=8) as world:
        over_and_over = {name: world[name] * PASSES for name in ("urls", "objects", "samples", "bytes")}
        yield {**world, **over_and_over}


QUESTION = Question(
    prepare=prepare,
    contenders={
        "asyncwds": Contender(peers.read, needs=["asyncwds:WebDataset", "asyncwds.storage.stores.fetcher"]),
        "bare aiohttp": Contender(peers.bare_download, needs=["aiohttp"], group="parts"),
        "the same, in order": Contender(peers.download_in_order, needs=["aiohttp"], group="parts"),
        "webdataset": Contender(peers.read_webdataset, needs=["webdataset"]),
    },
    columns=["mb_per_second", "cpu_per_gb", "samples_per_second", "peak"],
    targets=[
        Target("MB/s over bare aiohttp", lambda a: a["asyncwds"].mb_per_second / a["bare aiohttp"].mb_per_second, at_least=0.9),
        Target("CPU-s/GB over bare aiohttp", lambda a: a["asyncwds"].cpu_per_gb / a["bare aiohttp"].cpu_per_gb, at_most=1.2),
        Target("MB/s over webdataset", lambda a: a["asyncwds"].mb_per_second / a["webdataset"].mb_per_second, at_least=2.0),
    ],
)
