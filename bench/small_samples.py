"""How many small samples a second does one process read?

    python -m bench small_samples

Samples of two fields, 400 bytes together, from a local file that is in the page cache. Here the cost is not in the bytes
but in what is done for each sample: headers, grouping, hand-over. With the accelerator and without it, which is the same where
there is no compiler. SPDL, where it is installed, gives bare members: here they are taken in pairs.

Hashing two fields takes 1.7 µs, and the accelerator less than that for all that it does with a sample. So timed runs hash one
sample of 64 and count the others, for every contender, after a run that hashes all.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib.util import find_spec

from bench import data, peers
from bench.harness import Answer, Contender, Question, Size, Target, World
from bench.tally import Tally


def prepare(size: Size) -> AbstractContextManager[World]:
    return data.shards(2, samples=40_000 if size == "full" else 500, size=200, fields=("a", "b"))


def in_python(read: Callable[[World, Tally], None]) -> Callable[[World, Tally], None]:
    def run(world: World, tally: Tally) -> None:
        os.environ["ASYNCWDS_PURE"] = "1"  # of this process, which makes this run alone
        read(world, tally)

    return run


def _over_webdataset(contender: str, at_least: float) -> Target:
    def ratio(answer: Answer) -> float:
        return answer[contender].samples_per_second / answer["webdataset"].samples_per_second

    return Target(f"samples/s over webdataset: {contender}", ratio, at_least=at_least)


OURS = {
    "asyncwds, for": peers.read,
    "asyncwds, async for": peers.read_async,
    "asyncwds, for, in Python": in_python(peers.read),
    "asyncwds, async for, in Python": in_python(peers.read_async),
}
QUESTION = Question(
    prepare=prepare,
    contenders={
        # webdataset imports numpy itself, as nearly all do that train.
        **{name: Contender(read, needs=["asyncwds:WebDataset", "numpy"]) for name, read in OURS.items()},
        "webdataset": Contender(peers.read_webdataset, needs=["webdataset"]),
        **({"SPDL, pairs of members": Contender(peers.read_spdl, needs=["spdl.io"])} if find_spec("spdl") else {}),
    },
    every=64,
    columns=["samples_per_second", "us_per_sample", "peak"],
    targets=[
        _over_webdataset("asyncwds, for", at_least=30),
        _over_webdataset("asyncwds, async for", at_least=25),
        _over_webdataset("asyncwds, for, in Python", at_least=16),
    ],
)
