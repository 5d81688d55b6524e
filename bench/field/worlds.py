"""What is read: data sets of four kinds in each peer's format, kept between runs, and servers for them."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from asyncwds.testing import write_shards
from bench import data
from bench.harness import Size

HEIGHT, WIDTH = 400, 500


@dataclass(frozen=True)
class Kind:
    """A data set: `small` and `full` are shards and samples in each; `write` is called with these and the folder."""

    write: Callable[[Path, int, int], object]
    fields: Sequence[str]
    small: tuple[int, int]
    full: tuple[int, int]


def _random(size: int, fields: Sequence[str], folder: Path, shards: int, samples: int) -> None:
    write_shards(folder, shards=shards, samples=samples, size=size, fields=fields)


def _photos(folder: Path, shards: int, samples: int) -> None:
    """JPEGs of 500 x 400 pixels and labels; eight photos take turns."""
    from bench.decode import photo

    encoded = []
    for number in range(8):
        buffer = io.BytesIO()
        photo(HEIGHT, WIDTH, number).save(buffer, "jpeg", quality=90)
        encoded.append(buffer.getvalue())
    folder.mkdir(parents=True)
    for shard in range(shards):
        with tarfile.open(folder / f"shard-{shard:06d}.tar", "w", format=tarfile.USTAR_FORMAT) as archive:
            for index in range(samples):
                for field, content in (("jpg", encoded[index % 8]), ("cls", b"%d" % (index % 1000))):
                    member = tarfile.TarInfo(f"{shard:06d}-{index:06d}.{field}")
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))


KINDS: Mapping[str, Kind] = {
    "middle": Kind(partial(_random, 110_000, ("bin",)), ("bin",), small=(2, 20), full=(16, 580)),
    "little": Kind(partial(_random, 200, ("a", "b")), ("a", "b"), small=(2, 100), full=(2, 20_000)),
    "large": Kind(partial(_random, 2_000_000, ("bin",)), ("bin",), small=(2, 3), full=(8, 32)),
    "photos": Kind(_photos, ("jpg", "cls"), small=(2, 32), full=(8, 1000)),
}
CONVERTED = {"litdata": "litdata", "mosaicml": "mds", "torch": "files"}
"""Peers with formats of their own, and the names of those in a world."""


def folder_of(home: Path, kind: str, size: Size) -> Path:
    return home / "data" / size / kind


def describe(home: Path, kind: str, size: Size) -> dict[str, Any]:
    """The world of a kind, on disk; it is written where it isn't there yet."""
    folder, which = folder_of(home, kind, size), KINDS[kind]
    shards, samples = which.full if size == "full" else which.small
    if not (folder / "complete").exists():
        which.write(folder / "wds", shards, samples)
        (folder / "complete").touch()
    paths = sorted(str(path) for path in (folder / "wds").glob("*.tar"))
    total = sum(Path(path).stat().st_size for path in paths)
    where = {name: str(folder / name) for name in CONVERTED.values()}
    about = {"samples": shards * samples, "bytes": total, "shards": paths, "names": which.fields}
    return {**about, **where, "height": HEIGHT, "width": WIDTH, "batch": 64}


def local(home: Path, kind: str, size: Size) -> dict[str, Any]:
    world = describe(home, kind, size)
    return {**world, "urls": world["shards"], "local": True, "connections": 1, "pattern": "", "servers": []}


@contextmanager
def served(home: Path, kind: str, size: Size, connections: int = 16, **link: Any) -> Iterator[dict[str, Any]]:
    """The same behind an HTTP server, which is an S3 endpoint for those that read S3 only."""
    world, folder = describe(home, kind, size), folder_of(home, kind, size)
    with data.served({"folder": str(folder), "urls": world["shards"]}, connections=connections, **link) as found:
        root = found["server"]
        stems = [f"{root}wds/shard-{{000000..{len(world['shards']) - 1:06d}}}.tar"]
        buckets = {"litdata_s3": "s3://litdata", "mds_s3": "s3://mds", "endpoint": root.rstrip("/")}
        yield {**world, **found, **buckets, "pattern": stems[0], "servers": [found["process"]]}


def save(path: Path, found: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(found, indent=1) + "\n")
