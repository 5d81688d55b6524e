"""Contenders that write shards. Where everything is to be hashed, they read back what they wrote, by the standard library."""

from __future__ import annotations

import asyncio
import random
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.harness import Contender, World
from bench.tally import Tally

SHARD_SAMPLES = 10_000
_KINDS = 50  # samples that differ; they are written again and again, so that making them costs nothing


@contextmanager
def world(samples: int, fields: dict[str, int]) -> Iterator[World]:
    """So many samples to write; `fields` has the size [bytes] of each. To memory where the system offers that, since disks vary."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="asyncwds-bench-", dir=memory if memory.is_dir() else None) as folder:
        yield {"folder": folder, "samples": samples, "bytes": samples * sum(fields.values()), "fields": fields}


def samples(world: World) -> Iterator[dict[str, Any]]:
    source = random.Random(0)
    kinds = [{name: source.randbytes(size) for name, size in world["fields"].items()} for _ in range(_KINDS)]
    for number in range(world["samples"]):
        yield {"__key__": f"{number:08d}", **kinds[number % _KINDS]}


def contender(write: Callable[[World, str], None], needs: str) -> Contender:
    def run(world: World, tally: Tally) -> None:
        with tempfile.TemporaryDirectory(dir=world["folder"]) as folder:
            write(world, f"{folder}/%06d.tar")
            shards = sorted(Path(folder).glob("*.tar"))
            if tally.full:
                for shard in shards:
                    _read_back(shard, tally)
            else:
                tally.samples, tally.bytes = world["samples"], world["bytes"]

    return Contender(run, needs=[needs])


def _read_back(shard: Path, tally: Tally) -> None:
    sample: dict[str, Any] = {}
    with tarfile.open(shard) as archive:
        for info in archive:
            key, _, field = info.name.partition(".")
            if sample and sample["__key__"] != key:
                tally.add(sample)
                sample = {}
            file = archive.extractfile(info)
            assert file is not None
            sample |= {"__key__": key, field: file.read()}
    tally.add(sample)


def by_us(*, manifest: bool = False) -> Contender:
    def write(world: World, pattern: str) -> None:
        import asyncwds as wds

        with wds.ShardWriter(pattern, SHARD_SAMPLES, manifest=f"{pattern}.json" if manifest else None) as sink:
            for sample in samples(world):
                sink.write(sample)

    return contender(write, "asyncwds:ShardWriter")


def by_us_asynchronously() -> Contender:
    async def write(world: World, pattern: str) -> None:
        import asyncwds as wds

        async with wds.AsyncShardWriter(pattern, SHARD_SAMPLES) as sink:
            for sample in samples(world):
                await sink.write(sample)

    return contender(lambda world, pattern: asyncio.run(write(world, pattern)), "asyncwds:AsyncShardWriter")


def by_webdataset(**options: Any) -> Contender:
    def write(world: World, pattern: str) -> None:
        import webdataset

        with webdataset.ShardWriter(pattern, SHARD_SAMPLES, verbose=0, **options) as sink:
            for sample in samples(world):
                sink.write(sample)

    return contender(write, "webdataset")
