"""`Cache(local=True)`: local files, for those on network disks."""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import asyncwds as wds
from asyncwds import Cache
from asyncwds.errors import SpecError
from asyncwds.runtime import Counters
from asyncwds.storage import CachingFetcher, FileFetcher
from asyncwds.testing import leaks, make_samples, make_shard, read

SHARD = make_shard(make_samples(20, size=50_000, fields=["bin"]))
OTHER = make_shard(make_samples(20, size=50_000, fields=["bin"], seed=1))


class Mount:
    """A folder of shards, and a cache for it."""

    def __init__(self, root: Path) -> None:
        self.folder, self.cache = root / "mount", root / "cache"
        self.folder.mkdir()
        self.shard = self.folder / "a.tar"
        self.shard.write_bytes(SHARD)
        self.cached = 0

    async def read(self, url: object, **settings: object) -> bytes:
        """In an iteration of its own; `cached` is what came from the cache [bytes]."""
        counters = Counters()
        fetcher = CachingFetcher(
            FileFetcher(counters), Cache(self.cache, local=True, **settings), counters, validator=lambda path: True
        )
        try:
            return (await read(fetcher, str(url)))[1]
        finally:
            await fetcher.aclose()
            self.cached = counters.cached

    def kept(self) -> list[Path]:
        return [path for path in self.cache.rglob("*.tar") if path.parent == self.cache]


@pytest.fixture
async def mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Mount]:
    monkeypatch.chdir(tmp_path)
    async with leaks():
        yield Mount(tmp_path)


async def test_a_file_is_copied_once_and_read_from_the_cache(mount: Mount) -> None:
    assert await mount.read(mount.shard) == SHARD
    [copy] = mount.kept()
    assert copy.read_bytes() == SHARD
    mount.shard.rename(mount.folder / "away.tar")
    assert await mount.read(mount.shard) == SHARD
    assert mount.cached == len(SHARD)


async def test_all_ways_to_write_a_path_are_one_copy(mount: Mount) -> None:
    for url in ("mount/a.tar", "./mount/a.tar", mount.shard, mount.shard.as_uri()):
        assert await mount.read(url) == SHARD
    assert len(mount.kept()) == 1
    assert mount.cached == len(SHARD)


async def test_relative_paths_of_two_folders_are_two_shards(mount: Mount, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.tar").write_bytes(OTHER)
    for folder, data in (("mount", SHARD), ("other", OTHER), ("mount", SHARD)):
        monkeypatch.chdir(tmp_path / folder)
        assert await mount.read("a.tar") == data
    assert len(mount.kept()) == 2


@pytest.mark.parametrize("through_a_link", [False, True])
async def test_the_caches_own_files_pass_through_and_stay(mount: Mount, tmp_path: Path, *, through_a_link: bool) -> None:
    mount.cache.mkdir()
    (mount.cache / "own.tar").write_bytes(OTHER)
    (tmp_path / "link").symlink_to(mount.cache)
    url = (tmp_path / "link" if through_a_link else mount.cache) / "own.tar"
    names = {"url_to_name": lambda url: url.rpartition("/")[2]}
    assert await mount.read(url, **names) == OTHER
    assert await mount.read(mount.shard, size=len(SHARD), **names) == SHARD  # for which a shard of the cache would make room
    assert (mount.cache / "own.tar").read_bytes() == OTHER


async def test_a_fifo_is_read_each_time(mount: Mount) -> None:
    fifo = mount.folder / "fifo"
    os.mkfifo(fifo)
    for data in (SHARD, OTHER):
        writer = threading.Thread(target=fifo.write_bytes, args=(data,))
        writer.start()
        assert await mount.read(fifo) == data
        writer.join()
    assert mount.kept() == []


async def test_a_file_that_was_replaced_is_noticed_where_that_is_asked_for(mount: Mount) -> None:
    await mount.read(mount.shard)
    (mount.folder / "new").write_bytes(OTHER)
    (mount.folder / "new").replace(mount.shard)
    assert await mount.read(mount.shard) == SHARD
    assert await mount.read(mount.shard, revalidate=True) == OTHER


async def test_secure_mode_reads_no_local_file_from_the_cache_either(mount: Mount, monkeypatch: pytest.MonkeyPatch) -> None:
    await mount.read(mount.shard)
    monkeypatch.setenv("WDS_SECURE", "1")
    dataset = wds.WebDataset(mount.shard, cache=Cache(mount.cache, local=True))
    with pytest.raises(SpecError, match="WDS_SECURE"):
        [sample async for sample in dataset]


async def test_paths_that_are_rewritten_are_kept_too(mount: Mount, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOPEN_REWRITE", f"shards/={mount.folder}/")
    for cached in (0, len(SHARD)):
        dataset = wds.WebDataset(["shards/a.tar"], cache=Cache(mount.cache, local=True))
        assert len([sample async for sample in dataset]) == 20
        assert dataset.stats().cached == cached


async def test_unless_asked_for_local_files_are_read_where_they_are(mount: Mount) -> None:
    for _ in range(2):
        dataset = wds.WebDataset(mount.shard, cache=Cache(mount.cache))
        assert len([sample async for sample in dataset]) == 20
    assert dataset.stats().cached == 0
    assert not mount.cache.exists()
