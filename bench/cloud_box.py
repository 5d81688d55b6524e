"""Does latency matter? A bucket in a box: 50 ms to the first byte, 40 MB/s for each connection, shards of 64 MB.

    python -m bench cloud_box

16 connections, samples in the order of the plan, 256 MiB of buffer. What can be had is 16 x 40 MB/s, or what a bare
download by 16 connections reaches on this machine, if that is less. webdataset reads a shard after another, each over one
connection. Everything is read four times over, 4 GB: the ends of a run, where connections have nothing left to do and the last
parts come one after another, take a fifth of a second, which is 7 % of a run over 1 GB. `cloud_shard` asks the same for one
shard of 1 GB.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from bench import data, peers
from bench.harness import Answer, Contender, Question, Size, Target, World

CONNECTIONS = 16
RATE = 40e6  # [bytes/s] of each connection
FIRST_BYTE = 0.05  # [s]
PASSES = 4


@contextmanager
def bucket(count: int, samples: int, passes: int = 1) -> Iterator[World]:
    with (
        data.shards(count, samples=samples, size=110_000) as files,
        data.served(files, connections=CONNECTIONS, first_byte=FIRST_BYTE, rate=RATE) as world,
    ):
        yield {**world, **{name: world[name] * passes for name in ("urls", "objects", "samples", "bytes")}}


def prepare(size: Size) -> AbstractContextManager[World]:
    return bucket(16, 580, PASSES) if size == "full" else bucket(4, 40)


def share(answer: Answer) -> float:
    """MB/s of what can be had."""
    possible = min(CONNECTIONS * RATE / 1e6, answer["bare aiohttp"].mb_per_second)
    return answer["asyncwds"].mb_per_second / possible


CONTENDERS = {
    "asyncwds": Contender(peers.read, needs=["asyncwds:WebDataset", "asyncwds.storage.stores.fetcher"]),
    "bare aiohttp": Contender(peers.bare_download, needs=["aiohttp"], group="parts"),
    "webdataset": Contender(peers.read_webdataset, needs=["webdataset"]),
}
COLUMNS = ["mb_per_second", "cpu_per_gb", "first", "peak"]
TARGETS = [
    Target("MB/s over what can be had", share, at_least=0.95),
    Target(
        "first sample [ms], connecting to loopback takes none", lambda a: a["asyncwds"].first * 1e3, at_most=1.5 * FIRST_BYTE * 1e3
    ),
]
QUESTION = Question(prepare, CONTENDERS, COLUMNS, TARGETS)
