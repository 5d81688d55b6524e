"""What do signatures, credentials and checksums cost? s3:// against plain http:// of the same bytes, from the same server.

    python -m bench s3

A real SeaweedFS on loopback, with one bucket that everybody may read: over http:// it is read as it is, over s3:// with
signed requests. Samples of 110 KB, 8 connections. The server takes the larger part of the machine; what counts is the ratio.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from bench import data, peers
from bench.harness import Contender, Question, Size, Target, World
from bench.tally import Tally

SERVERS = Path(__file__).parent.parent / "tests" / "servers"
CONNECTIONS = 8


@contextmanager
def prepare(size: Size) -> Iterator[World]:
    count, samples = (16, 600) if size == "full" else (4, 40)
    sys.path.append(str(SERVERS))
    servers: Any = import_module("seaweedfs")
    with (
        data.shards(count, samples=samples, size=110_000) as files,
        tempfile.TemporaryDirectory(prefix="asyncwds-bench-") as folder,
        servers.run_seaweedfs(Path(folder)) as store,
    ):
        bucket, paths = servers.BUCKETS[1], [Path(path) for path in files["urls"]]
        for path in paths:
            store.put(path.name, path.read_bytes(), bucket)
        signed = {"endpoint": store.url, "access_key": servers.ADMIN.access_key, "secret_key": servers.ADMIN.secret_key}
        yield {
            **files,
            "http": [f"{store.url}/{bucket}/{path.name}" for path in paths],
            "s3": [f"s3://{bucket}/{path.name}" for path in paths],
            "settings": signed,
            "connections": CONNECTIONS,
        }


def read_http(world: World, tally: Tally) -> None:
    peers.read({**world, "urls": world["http"]}, tally)


def read_s3(world: World, tally: Tally) -> None:
    _read_s3(world, tally, verify=False)


def read_s3_verified(world: World, tally: Tally) -> None:
    _read_s3(world, tally, verify=True)


def _read_s3(world: World, tally: Tally, *, verify: bool) -> None:
    import asyncwds as wds

    storage = wds.S3(**world["settings"], verify=verify)
    for sample in wds.WebDataset(world["s3"], prefetch=world["connections"], storage=storage, shardshuffle=False):
        tally.add(sample)


NEEDS = ["asyncwds:WebDataset", "asyncwds.storage.stores.fetcher"]
QUESTION = Question(
    prepare=prepare,
    contenders={
        "http://": Contender(read_http, needs=NEEDS),
        "s3://": Contender(read_s3, needs=[*NEEDS, "asyncwds.storage.stores.s3.store", "botocore.auth", "botocore.session"]),
        "s3://, CRC32 compared": Contender(
            read_s3_verified, needs=[*NEEDS, "asyncwds.storage.stores.s3.store", "botocore.auth", "botocore.session"]
        ),
    },
    columns=["mb_per_second", "cpu_per_gb", "first", "peak"],
    targets=[
        Target("MB/s of s3:// over http://", lambda a: a["s3://"].mb_per_second / a["http://"].mb_per_second, at_least=0.9),
    ],
)
