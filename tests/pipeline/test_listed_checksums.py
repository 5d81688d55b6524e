"""Shards that are compared with the SHA-256 that a manifest lists for them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import asyncwds as wds
from asyncwds.errors import ChecksumError
from asyncwds.testing import FaultServer

SAMPLES = 60  # in each of three shards


def write(folder: Path, suffix: str = "tar") -> None:
    with wds.ShardWriter(f"{folder}/s-%d.{suffix}", maxcount=SAMPLES, manifest=f"{folder}/manifest.json", verbose=0) as sink:
        for number in range(3 * SAMPLES):
            sink.write({"__key__": f"{number:03d}", "bin": bytes([number]) * 3000})


def flip(path: Path) -> None:
    """A byte of the payload of a sample in the middle."""
    data = bytearray(path.read_bytes())
    data[data.index(bytes([90]) * 1000) + 1500] ^= 1
    path.write_bytes(data)


def read(dataset: wds.WebDataset) -> tuple[list[str], ChecksumError | None]:
    keys = []
    try:
        for sample in dataset:
            keys.append(sample["__key__"])
    except ChecksumError as error:
        return keys, error
    return keys, None


def in_small_parts(url: str, **options: Any) -> wds.WebDataset:
    prefetch = {"connections": 4, "part_bytes": 20_000} | options.pop("prefetch", {})
    return wds.WebDataset(url, prefetch=wds.Prefetch(**prefetch), **options)


@pytest.mark.parametrize("prefetch", [{}, {"interleave": 3}, {"order": "arrival"}, {"part_bytes": 10**7}], ids=str)
@pytest.mark.parametrize("kind", ["files", "http"])
def test_fault_26_a_flipped_byte_is_found_by_the_manifest(tmp_path: Path, kind: str, prefetch: dict[str, Any]) -> None:
    write(tmp_path)
    flip(tmp_path / "s-1.tar")
    with FaultServer({path.name: path.read_bytes() for path in tmp_path.iterdir()}) as server:
        url = str(tmp_path / "manifest.json") if kind == "files" else server.url("manifest.json")
        keys, error = read(in_small_parts(url, prefetch=prefetch))
        assert error is not None
        assert "the manifest keeps" in str(error)
        assert str(error.url).endswith("s-1.tar")
        assert {key for key in keys if 60 <= int(key) < 120} == {f"{number:03d}" for number in range(60, 120)}
        skipping = in_small_parts(url, prefetch=prefetch, handler=wds.ignore_and_continue)
        assert len(read(skipping)[0]) == 3 * SAMPLES
        assert skipping.stats().shards_failed == 1
        assert read(in_small_parts(url, prefetch=prefetch, verify=False)) == (read(skipping)[0], None) or "order" in prefetch


def test_sound_shards_pass(tmp_path: Path) -> None:
    for suffix in ("tar", "tar.gz"):
        folder = tmp_path / suffix
        folder.mkdir()
        write(folder, suffix)
        keys, error = read(in_small_parts(f"{folder}/manifest.json", shardshuffle=10))
        assert (len(keys), error) == (3 * SAMPLES, None)


def test_a_shard_that_was_written_anew_is_not_that_of_the_manifest(tmp_path: Path) -> None:
    write(tmp_path)
    with wds.TarWriter(f"{tmp_path}/s-2.tar") as sink:
        sink.write({"__key__": "new", "bin": b"data"})
    keys, error = read(in_small_parts(f"{tmp_path}/manifest.json"))
    assert keys[-1] == "new"
    assert error is not None
    assert str(error.url).endswith("s-2.tar")


def test_through_a_cache_too(tmp_path: Path) -> None:
    folder = tmp_path / "made"
    folder.mkdir()
    write(folder)
    flip(folder / "s-1.tar")
    with FaultServer({path.name: path.read_bytes() for path in folder.iterdir()}) as server:
        dataset = in_small_parts(server.url("manifest.json"), cache_dir=tmp_path / "cache")
        errors = [read(dataset)[1] for _ in range(2)]
        assert [str(error.url).rpartition("/")[2] for error in errors if error is not None] == ["s-1.tar"] * 2
        assert not list((tmp_path / "cache").glob("s-1*"))
        flip(folder / "s-1.tar")  # it is as it was
        server.put("s-1.tar", (folder / "s-1.tar").read_bytes())
        assert read(dataset)[1] is None
        assert read(dataset)[1] is None
        assert len(list((tmp_path / "cache").glob("s-1*"))) == 1


def test_a_shard_that_is_damaged_in_a_cache_is_fetched_anew(tmp_path: Path) -> None:
    folder, cache = tmp_path / "made", tmp_path / "cache"
    folder.mkdir()
    write(folder)
    with FaultServer({path.name: path.read_bytes() for path in folder.iterdir()}) as server:
        dataset = in_small_parts(server.url("manifest.json"), cache_dir=cache)
        assert read(dataset)[1] is None
        [kept] = cache.glob("s-1*")
        before = kept.stat()
        flip(kept)
        os.utime(kept, ns=(before.st_atime_ns, before.st_mtime_ns))  # as if the disk had done it
        assert isinstance(read(dataset)[1], ChecksumError)
        assert not kept.exists()
        keys, error = read(dataset)
        assert (len(keys), error) == (3 * SAMPLES, None)
        assert kept.exists()


async def test_on_the_callers_own_loop(tmp_path: Path) -> None:
    write(tmp_path)
    flip(tmp_path / "s-1.tar")
    async with wds.open_samples(f"{tmp_path}/manifest.json") as samples:
        with pytest.raises(ChecksumError, match="manifest"):
            [sample async for sample in samples]
