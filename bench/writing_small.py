"""How many small samples a second are written?

    python -m bench writing_small

Samples of two fields of 400 bytes each, to shards in memory (/dev/shm). Here the cost is in what is done for each sample: checks
of names, headers, padding.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

from bench import writers
from bench.harness import Question, Size, Target, World


def prepare(size: Size) -> AbstractContextManager[World]:
    return writers.world(40_000 if size == "full" else 500, {"a": 400, "b": 400})


QUESTION = Question(
    prepare=prepare,
    contenders={
        "asyncwds": writers.by_us(),
        "asyncwds, asynchronous": writers.by_us_asynchronously(),
        "webdataset": writers.by_webdataset(),
        "webdataset, mtime=0": writers.by_webdataset(mtime=0),
    },
    columns=["samples_per_second", "us_per_sample", "peak"],
    targets=[
        Target(
            "samples/s of asyncwds over webdataset",
            lambda a: a["asyncwds"].samples_per_second / a["webdataset"].samples_per_second,
            at_least=3,
        ),
        Target(
            "samples/s of asyncwds over webdataset with mtime=0",
            lambda a: a["asyncwds"].samples_per_second / a["webdataset, mtime=0"].samples_per_second,
            at_least=3,
        ),
        Target(
            "samples/s of asyncwds, asynchronous, over webdataset",
            lambda a: a["asyncwds, asynchronous"].samples_per_second / a["webdataset"].samples_per_second,
            at_least=3,
        ),
    ],
)
