"""How fast are large samples written?

    python -m bench writing

Samples of one field of 110 KB, bytes already, to shards in memory (/dev/shm), so that the disk does not count. By
ShardWriter, with a manifest too (which takes a SHA-256 of each shard), and by AsyncShardWriter.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

from bench import writers
from bench.harness import Answer, Question, Size, Target, World


def prepare(size: Size) -> AbstractContextManager[World]:
    return writers.world(4000 if size == "full" else 40, {"jpg": 110_000})


def over_webdataset(answer: Answer, name: str) -> float:
    return answer[name].mb_per_second / answer["webdataset"].mb_per_second


QUESTION = Question(
    prepare=prepare,
    contenders={
        "asyncwds": writers.by_us(),
        "asyncwds, with a manifest": writers.by_us(manifest=True),
        "asyncwds, asynchronous": writers.by_us_asynchronously(),
        "webdataset": writers.by_webdataset(),
        "webdataset, mtime=0": writers.by_webdataset(mtime=0),
    },
    columns=["mb_per_second", "cpu_per_gb", "peak"],
    targets=[
        Target("MB/s of asyncwds over webdataset", lambda a: over_webdataset(a, "asyncwds"), at_least=1),
        Target("the same with a manifest", lambda a: over_webdataset(a, "asyncwds, with a manifest"), at_least=1),
        Target("the same, asynchronous", lambda a: over_webdataset(a, "asyncwds, asynchronous"), at_least=1),
    ],
)
