"""How many small samples a second does one process read?

    python -m bench small_samples

Samples of two fields, 400 bytes together, from a local file that is in the page cache. Here the cost is not in the bytes
but in what is done for each sample: headers, grouping, hand-over.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

from bench import data, peers
from bench.harness import Contender, Question, Size, Target, World


def prepare(size: Size) -> AbstractContextManager[World]:
    return data.shards(2, samples=40_000 if size == "full" else 500, size=200, fields=("a", "b"))


QUESTION = Question(
    prepare=prepare,
    contenders={
        "asyncwds, for": Contender(peers.read, needs=["asyncwds:WebDataset"]),
        "asyncwds, async for": Contender(peers.read_async, needs=["asyncwds:WebDataset"]),
        "webdataset": Contender(peers.read_webdataset, needs=["webdataset"]),
    },
    columns=["samples_per_second", "us_per_sample", "peak"],
    targets=[
        Target(
            "samples/s by for over webdataset",
            lambda a: a["asyncwds, for"].samples_per_second / a["webdataset"].samples_per_second,
            at_least=10,
        ),
        Target(
            "samples/s by async for over webdataset",
            lambda a: a["asyncwds, async for"].samples_per_second / a["webdataset"].samples_per_second,
            at_least=8,
        ),
    ],
)
