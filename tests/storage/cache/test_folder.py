from __future__ import annotations

import asyncio
import json
import os
import time

import pytest

from asyncwds import Cache
from asyncwds.storage import CacheFolder
from asyncwds.storage.cache.folder import LEFTOVER, MANY, SPARE
from asyncwds.storage.cache.journal import Header
from asyncwds.storage.cache.partial_file import Partial
from asyncwds.storage.cache.threads import CacheThreads

HOUR = 3600 * 10**9


class Clock:
    def __init__(self) -> None:
        self.now = time.time_ns()

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def folder_of(tmp_path, clock):
    """A folder with that bound [bytes], as another process would see it."""
    return lambda size=None: CacheFolder(Cache(tmp_path / "cache", size), clock)


@pytest.fixture
def threads():
    threads = CacheThreads(patience=1.0)
    yield threads
    threads.close()


@pytest.fixture
def keep(folder_of, threads):
    """Puts an object into the cache as a download does."""

    async def keep(name: str, data: bytes, *, folder=None, publish=True) -> bool:
        partial = Partial(folder or folder_of(), threads, name, "hash")
        assert await partial.open()
        fits = await partial.begin(Header("url", "hash", len(data), "etag", ranged=True, boot=""))
        if fits:
            await partial.write(0, [data])
            if publish:
                await partial.publish(lambda path: True, sums=False)
        await partial.close()
        return fits

    return keep


async def test_what_is_kept_is_found(folder_of, keep, tmp_path):
    folder = folder_of()
    assert folder.find("a") is None
    await keep("a", b"data")
    whole = folder.find("a")
    assert (whole.path, whole.record.size, whole.record.identity) == (str(tmp_path / "cache" / "a"), 4, "etag")
    assert sorted(path.name for path in (tmp_path / "cache" / ".asyncwds").iterdir()) == ["a.json", "clock", "lock"]


@pytest.mark.parametrize("change", ["truncate", "rewrite", "delete", "no record", "empty record", "strange record", "a folder"])
async def test_what_was_touched_is_not_trusted(folder_of, keep, tmp_path, change):
    await keep("a", b"data")
    path, record = tmp_path / "cache" / "a", tmp_path / "cache" / ".asyncwds" / "a.json"
    match change:
        case "truncate":
            os.truncate(path, 2)
        case "rewrite":
            path.write_bytes(b"dada")
        case "delete":
            path.unlink()
        case "no record":
            record.unlink()
        case "empty record":
            record.write_bytes(b"")
        case "strange record":
            record.write_text(json.dumps({"size": 4}))
        case "a folder":
            path.unlink()
            path.mkdir()
    assert folder_of().find("a") is None
    if change != "a folder":
        await keep("a", b"data")
        assert folder_of().find("a") is not None


async def test_names_may_have_folders(folder_of, keep):
    await keep("train/000.tar", b"data")
    await keep("val/000.tar", b"more data")
    folder = folder_of(13)
    assert folder.find("train/000.tar").record.size == 4
    assert await keep("b", b"12345", folder=folder)
    assert folder.find("train/000.tar") is None
    assert [entry.name for entry in folder.entries()] == ["b"] or folder.find("val/000.tar") is not None


async def test_the_bound_holds_and_what_was_not_used_for_longest_goes(folder_of, keep, clock):
    folder = folder_of(10)
    for name in "abc":
        clock.now += HOUR
        assert await keep(name, b"123", folder=folder)
    clock.now += HOUR
    assert folder.find("a", use=True) is not None
    assert await keep("d", b"1234", folder=folder)
    assert {entry.name for entry in folder.entries()} == {"a", "c", "d"}
    assert await keep("e", b"1234567890", folder=folder)
    assert {entry.name for entry in folder.entries()} == {"e"}
    assert not await keep("f", b"12345678901", folder=folder)
    assert sum(entry.size for entry in folder.entries()) <= 10


async def test_a_cache_of_many_shards_frees_some_more_at_a_time(folder_of, keep):
    folder = folder_of(MANY)
    index = folder.root / ".asyncwds"
    index.mkdir(parents=True)
    for number in range(MANY):
        (folder.root / f"{number}").write_bytes(b"1")
        (index / f"{number}.json").write_text("{}")
    assert await keep("a", b"1", folder=folder)
    assert len(folder.entries()) == MANY - MANY // SPARE


async def test_clock_jumps_do_not_change_the_order_of_use(folder_of, keep, clock):
    folder = folder_of(9)
    for name, jump in (("a", 0), ("b", 10_000 * HOUR), ("c", -20_000 * HOUR)):
        clock.now += jump
        await keep(name, b"123", folder=folder)
    clock.now -= 1000 * HOUR
    folder.find("a", use=True)
    await keep("d", b"123", folder=folder)
    assert {entry.name for entry in folder.entries()} == {"a", "c", "d"}
    clock.now += 50_000 * HOUR
    await keep("e", b"123", folder=folder)
    assert {entry.name for entry in folder.entries()} == {"a", "d", "e"}


async def test_the_sum_is_shared_and_heals(folder_of, keep, tmp_path):
    first, second = folder_of(10), folder_of(10)
    await keep("a", b"1234", folder=first)
    await keep("b", b"1234", folder=second)
    await keep("c", b"1234", folder=first)
    assert {entry.name for entry in first.entries()} == {"b", "c"}
    lock = tmp_path / "cache" / ".asyncwds" / "lock"
    for nonsense in (b"", b"x", b"99999999999999999999", b"0"):
        lock.write_bytes(nonsense)
        await keep("d", b"12", folder=folder_of(10))
        assert int(lock.read_bytes()) == 10
        folder = folder_of(10)
        folder.forget(folder.find("d"))
        assert int(lock.read_bytes()) == 8


async def test_downloads_in_use_stay_and_idle_ones_go(folder_of, keep, threads):
    folder = folder_of(10)
    used = Partial(folder, threads, "used", "hash")
    await used.open()
    await used.begin(Header("url", "hash", 4, None, ranged=True, boot=""))
    await keep("idle", b"1234", publish=False)
    assert {entry.name for entry in folder.entries()} == {"used", "idle"}
    assert {folder.url(entry) for entry in folder.entries()} == {"url"}
    assert [entry.name for entry in folder.clear(lambda _: True)] == ["idle"]
    await keep("idle", b"1234", publish=False)
    assert await keep("a", b"123456", folder=folder)
    assert {entry.name for entry in folder.entries()} == {"used", "a"}
    assert not await keep("b", b"1234567", folder=folder)
    await used.close()


async def test_room_is_given_once(folder_of, threads):
    """Also before the first byte of a download has come."""
    partials = [Partial(folder_of(10), threads, name, "hash") for name in "abc"]
    for partial in partials:
        await partial.open()
    headers = [Header("url", "hash", 4, None, ranged=True, boot="")] * 3
    found = await asyncio.gather(*(partial.begin(header) for partial, header in zip(partials, headers, strict=True)))
    assert sorted(found) == [False, True, True]
    for partial in partials:
        await partial.close()


async def test_leftovers_go(folder_of, keep, threads, clock, tmp_path):
    used = Partial(folder_of(), threads, "used", "hash")
    await used.open()
    await keep("idle", b"1234", publish=False)
    clock.now += LEFTOVER - HOUR
    await keep("a", b"1", folder=folder_of())
    assert {entry.name for entry in folder_of().entries()} == {"used", "idle", "a"}
    clock.now += 2 * HOUR
    await keep("b", b"1", folder=folder_of())
    assert {entry.name for entry in folder_of().entries()} == {"used", "a", "b"}
    (tmp_path / "cache" / "a").unlink()
    await keep("c", b"1", folder=folder_of())
    assert {entry.name for entry in folder_of().entries()} == {"used", "b", "c"}
    assert not list((tmp_path / "cache" / ".asyncwds").glob("idle*"))
    await used.close()


async def test_a_file_of_others_is_taken_when_asked_to(folder_of, tmp_path):
    folder = folder_of()
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "a").write_bytes(b"data")
    assert folder.find("a") is None
    assert folder.unrecorded("a") == 4
    assert folder.unrecorded("b") is None
    whole = folder.adopt("a", "url", "hash", None)
    assert (whole.record.size, folder.unrecorded("a")) == (4, None)


async def test_what_is_there_is_not_published_twice(folder_of, threads):
    first, second = (Partial(folder_of(), threads, "a", "hash") for _ in range(2))
    await first.open()
    await first.begin(Header("url", "hash", 4, None, ranged=True, boot=""))
    await first.write(0, [b"data"])
    await second.open()
    assert second.journal.whole
    for partial in (first, second):
        await partial.publish(lambda path: True, sums=False)
        await partial.close()
    assert folder_of().find("a").record.size == 4
    assert folder_of().entries()[0].part is False


def test_nothing_is_made_before_it_is_needed(folder_of, tmp_path):
    folder = folder_of()
    assert folder.find("a", use=True) is None
    assert folder.entries() == []
    assert not (tmp_path / "cache").exists()


def test_the_home_folder_is_expanded(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert CacheFolder(Cache("~/cache")).root == tmp_path / "cache"
