"""Shards and samples for tests: deterministic, written by the standard library's tarfile."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import importlib
import io
import json
import lzma
import os
import random
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from asyncwds.errors import SpecError

Compress = Literal["gz", "bz2", "xz", "zst", "lz4"]
Format = Literal["ustar", "gnu", "pax"]
_FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
_SUFFIXES = {None: "", "gz": ".gz", "bz2": ".bz2", "xz": ".xz", "zst": ".zst", "lz4": ".lz4"}


def make_samples(
    n: int, *, size: int = 100, fields: Sequence[str] = ("bin", "cls", "json"), seed: int = 0, prefix: str = ""
) -> Iterator[dict[str, Any]]:
    """`n` samples with keys `prefix` + "000000", …; the same for the same arguments.

    `cls`, `txt` and `json` fields hold small valid values, all others `size` random [bytes].
    """
    source = random.Random(seed)  # noqa: S311  reproducible, not secret
    for index in range(n):
        key = f"{prefix}{index:06d}"
        yield {"__key__": key, **{name: _value(name, index, key, source, size) for name in fields}}


def _value(name: str, index: int, key: str, source: random.Random, size: int) -> bytes:
    match name.rpartition(".")[2]:
        case "cls":
            return str(index % 1000).encode()
        case "txt":
            return key.encode()
        case "json":
            return json.dumps({"index": index, "key": key}).encode()
        case _:
            return source.randbytes(size)


def make_shard(samples: Iterable[Mapping[str, Any]], *, compress: Compress | None = None, format: Format = "ustar") -> bytes:  # noqa: A002  tarfile's name
    """A tar archive of samples, as bytes; the same samples always give the same bytes.

    A sample has `__key__` and fields of bytes or str (written as UTF-8); other names that begin with `__` are left out.
    Raises SpecError for other values. "zst" needs the extra `zstd` before Python 3.14, "lz4" the extra `lz4`.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=_FORMATS[format]) as archive:
        for sample in samples:
            for name, data in _fields(sample):
                info = tarfile.TarInfo(f"{sample['__key__']}.{name}")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return _compressed(buffer.getvalue(), compress)


def _fields(sample: Mapping[str, Any]) -> Iterator[tuple[str, bytes]]:
    for name, value in sample.items():
        if name.startswith("__"):
            continue
        if not isinstance(value, bytes | str):
            raise SpecError(f"field {name!r} is {type(value).__name__}, neither bytes nor str", key=sample["__key__"])
        yield name, value.encode() if isinstance(value, str) else value


def _compressed(data: bytes, how: Compress | None) -> bytes:
    match how:
        case None:
            return data
        case "gz":
            return gzip.compress(data, mtime=0)
        case "bz2":
            return bz2.compress(data)
        case "xz":
            return lzma.compress(data)
        case "zst":
            return _zstd(data)
        case "lz4":
            return bytes(importlib.import_module("lz4.frame").compress(data))  # an extra


def _zstd(data: bytes) -> bytes:
    try:
        zstd = importlib.import_module("compression.zstd")  # new in Python 3.14
    except ModuleNotFoundError:
        zstd = importlib.import_module("zstandard")  # an extra
    return bytes(zstd.compress(data))


def make_pieces(n: int, *, size: int, field: str = "bin", seed: int = 0, prefix: str = "") -> list[bytes]:
    """A large shard for `FaultServer` in little memory: `n` samples of one field that share `size` random [bytes].

    Joined, the pieces are the archive; the payload is one object that stands there `n` times.
    """
    payload = random.Random(seed).randbytes(size)  # noqa: S311  reproducible, not secret
    padding = bytes(-size % tarfile.BLOCKSIZE)
    pieces = []
    for index in range(n):
        info = tarfile.TarInfo(f"{prefix}{index:06d}.{field}")
        info.size = size
        pieces += [info.tobuf(tarfile.USTAR_FORMAT), payload, padding]
    return [*pieces, bytes(2 * tarfile.BLOCKSIZE)]


def write_shards(
    folder: str | os.PathLike[str],
    *,
    shards: int = 4,
    samples: int = 10,
    size: int = 100,
    fields: Sequence[str] = ("bin", "cls", "json"),
    seed: int = 0,
    compress: Compress | None = None,
    format: Format = "ustar",  # noqa: A002  tarfile's name
) -> list[str]:
    """Writes `shard-000000.tar`, … of `samples` samples each (see `make_samples`) and returns their paths.

    Keys begin with the shard's number, so that no two shards share one.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    paths = []
    for index in range(shards):
        made = make_samples(samples, size=size, fields=fields, seed=seed + index, prefix=f"{index:06d}-")
        path = Path(folder, f"shard-{index:06d}.tar{_SUFFIXES[compress]}")
        path.write_bytes(make_shard(made, compress=compress, format=format))
        paths.append(str(path))
    return paths


def digest(sample: Mapping[str, Any]) -> str:
    """SHA-256 of a sample's key and raw fields: equal whatever their order and wherever the sample was read from.

    Raises SpecError for fields that are neither bytes nor str: digest before decoding.
    """
    total = hashlib.sha256(repr(sample["__key__"]).encode())
    for name, data in sorted(_fields(sample)):
        total.update(f"{name!r}:{len(data)}:".encode())
        total.update(data)
    return total.hexdigest()
