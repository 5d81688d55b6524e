"""`asyncwds cache`: on caches that datasets have filled, by functions and by the command line."""

import json
import os
import time

import pytest
from click.testing import CliRunner

import asyncwds as wds
from asyncwds.cli import main
from asyncwds.errors import CacheError, NotFoundError, SpecError
from asyncwds.runtime import BlockingPool
from asyncwds.settings import Access
from asyncwds.testing import Fault, FaultServer, make_samples, make_shard
from asyncwds.tools import Inputs, clear_cache, list_cache, verify_cache, warm_cache

SHARDS = {f"s{number}.tar": make_shard(make_samples(5, prefix=f"{number}-", seed=number)) for number in range(3)}


@pytest.fixture
def server():
    with FaultServer(SHARDS) as server:
        yield server


@pytest.fixture
def cache(server, tmp_path):
    """That of an epoch of all shards, of which each was used a minute before the next."""
    cache = wds.Cache(tmp_path / "cache", checksums=True)
    assert len(list(wds.WebDataset(f"{server.url()}s{{0..2}}.tar", shardshuffle=False, cache=cache))) == 15
    for entry in list_cache(cache):
        age(cache, entry, 180 - 60 * list(SHARDS).index(entry.url.rpartition("/")[2]))
    return cache


def run(*arguments):
    done = CliRunner().invoke(main, ["cache", *map(str, arguments)])
    return done.exit_code, done.stdout


def age(cache, entry, seconds):
    then = time.time_ns() - seconds * 10**9
    os.utime(cache.dir / ".asyncwds" / f"{entry.name}.json", ns=(then, then))


def test_what_is_there(cache, server):
    entries = list_cache(cache)
    assert [(entry.url, entry.bytes, entry.part) for entry in entries] == [
        (server.url(name), len(data), False) for name, data in SHARDS.items()
    ]
    assert [round(entry.age / 60) for entry in entries] == [3, 2, 1]


def test_urls_are_redacted(tmp_path, server):
    cache = wds.Cache(tmp_path / "cache")
    url = server.url("s0.tar") + "?X-Amz-Signature=abcdef"
    assert len(list(wds.WebDataset(url, cache=cache))) == 5
    assert "abcdef" not in run("ls", cache.dir)[1] + run("verify", cache.dir, "--json")[1]


def test_by_age_and_url(cache, server):
    first, second, third = list_cache(cache)
    age(cache, second, 8 * 86400)
    assert run("clear", cache.dir, "--older-than", "9d", "--json") == (0, "")
    status, shown = run("clear", cache.dir, "--older-than", "7d", "--dry-run")
    assert (status, second.name in shown, first.name in shown) == (0, True, False)
    assert len(list_cache(cache)) == 3
    assert json.loads(run("clear", cache.dir, "--older-than", "7d", "--json")[1])["name"] == second.name
    assert [entry.url for entry in clear_cache(cache, url="*/s2.tar")] == [third.url]
    assert [entry.url for entry in list_cache(cache)] == [first.url]
    assert run("clear", cache.dir, "--older-than", "7 cups")[0] == 1


def test_indexes_of_shards_go_with_them(cache, server):
    access = wds.WebDataset(f"{server.url()}s{{0..2}}.tar", cache=cache).random_access()
    assert len(access) == 15
    access.close()
    indexes = cache.dir / ".asyncwds-indexes"
    assert len(list(indexes.iterdir())) == 3
    clear_cache(cache, url="*/s0.tar")
    assert len(list(indexes.iterdir())) == 2
    clear_cache(cache)
    assert list(indexes.iterdir()) == []


def test_a_folder_that_is_no_cache_stays_as_it_is(tmp_path):
    (tmp_path / "mine.tar").write_bytes(b"data")
    assert run("ls", tmp_path) == (0, "0 B in 0 shards\n")
    assert run("clear", tmp_path) == (0, "0 B in 0 shards removed\n")
    assert run("verify", tmp_path)[0] == 0
    assert [path.name for path in tmp_path.iterdir()] == ["mine.tar"]


@pytest.fixture
def damaged(cache):
    """One whose bytes have changed, one that was written to, and one that is gone."""
    first, second, third = (cache.dir / entry.name for entry in list_cache(cache))
    status = first.stat()
    with first.open("r+b") as file:
        file.seek(700)
        file.write(b"?")
    os.utime(first, ns=(status.st_atime_ns, status.st_mtime_ns))
    second.write_bytes(b"other")
    third.unlink()
    return cache


def test_bad_entries_are_named_and_removed(damaged, server):
    found = verify_cache(damaged)
    assert [bad.reason.split()[1] for bad in found.bad] == ["bytes", "was", "file"]
    assert (found.sound, len(list_cache(damaged))) == (0, 3)
    assert run("verify", damaged.dir)[0] == 2
    status, shown = run("verify", damaged.dir, "--remove")
    assert (status, shown.count("; removed"), shown.splitlines()[-1]) == (0, 3, "0 shards sound, 0 of them by checksums; 3 bad")
    assert list_cache(damaged) == []
    assert len(list(wds.WebDataset(f"{server.url()}s{{0..2}}.tar", shardshuffle=False, cache=damaged))) == 15
    assert run("verify", damaged.dir) == (0, "3 shards sound, 3 of them by checksums; 0 bad\n")


def test_without_checksums_shards_are_read(tmp_path, server):
    cache = wds.Cache(tmp_path / "{a}", checksums=False)
    assert len(list(wds.WebDataset(server.url("s0.tar"), cache=cache))) == 5
    assert (verify_cache(cache).sound, verify_cache(cache).by_checksum) == (1, 0)
    path = tmp_path / "{a}" / list_cache(cache)[0].name
    status = path.stat()
    with path.open("r+b") as file:
        file.seek(10)
        file.write(b"?")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert "read to its end" in verify_cache(cache, remove=True).bad[0].reason
    assert list_cache(cache) == []


def test_sources_are_asked(cache, server):
    access = Access(retry=wds.Retry(tries=1))
    assert verify_cache(cache, access=access).sound == 3
    server.put("s0.tar", SHARDS["s1.tar"])
    server.add(Fault(path="s1.tar", status=404, times=100), Fault(path="s2.tar", status=403, times=100))
    found = verify_cache(cache, access=access)
    assert sorted(bad.reason.partition("the source ")[2] for bad in found.bad) == [
        "does not have it any more",
        "has another version",
    ]
    assert (found.sound, len(found.unasked)) == (1, 1)


def test_warming(tmp_path, server):
    cache = wds.Cache(tmp_path / "cache")
    told = []
    inputs = Inputs(urls=[f"{server.url()}s{{0..2}}.tar"], cache=cache)
    report = warm_cache(inputs, show=lambda report: told.append(report.bytes))
    assert (sorted(report.shards), report.there) == ([server.url(name) for name in SHARDS], [])
    assert (len(told), report.bytes) == (3, sum(map(len, SHARDS.values())))
    before = server.counters.requests
    assert len(list(wds.WebDataset(f"{server.url()}s{{0..2}}.tar", shardshuffle=False, cache=cache))) == 15
    again = warm_cache(inputs)
    assert (again.shards, len(again.there), server.counters.requests) == ([], 3, before)


def test_warming_beside_another_that_fetches_the_same(tmp_path, server):
    cache = wds.Cache(tmp_path / "cache")
    server.add(Fault(path="s0.tar", drip=20_000, times=1))
    inputs = Inputs(urls=[server.url("s0.tar")], cache=cache)
    with BlockingPool("warm", 2) as pool:
        both = [pool.submit(warm_cache, inputs) for _ in range(2)]
        assert [report.result().failed for report in both] == [[], []]
    assert [entry.part for entry in list_cache(cache)] == [False]


def test_what_cannot_be_warmed(tmp_path, server):
    server.put("page.tar", b"<html>" * 1000)
    (tmp_path / "a.tar").write_bytes(SHARDS["s0.tar"])
    cache = wds.Cache(tmp_path / "cache")
    for name, error in (("none.tar", NotFoundError), ("page.tar", CacheError)):
        with pytest.raises(error):
            warm_cache(Inputs(urls=[server.url(name)], cache=cache))
    with pytest.raises(SpecError, match="read where they are"):
        warm_cache(Inputs(urls=[str(tmp_path / "a.tar")], cache=cache))
    with pytest.raises(SpecError, match="which cache"):
        warm_cache(Inputs(urls=[server.url("s0.tar")]))
    urls = [server.url(name) for name in ("s0.tar", "none.tar", "page.tar")]
    status, shown = run("warm", *urls, "--cache", cache.dir, "--on-error", "skip", "--json")
    report = json.loads(shown)
    assert (status, report["shards"], len(report["failed"])) == (4, urls[:1], 2)
