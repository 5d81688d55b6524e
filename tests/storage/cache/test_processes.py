"""Real processes that share a folder: 31 two at once, and the locks of a dead one; 35 SIGKILL at any moment."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from asyncwds.testing import Fault, FaultServer, make_samples, make_shard


def shards(samples: int) -> dict[str, bytes]:
    return {
        f"{number}.tar": make_shard(make_samples(samples, size=100_000, fields=["bin"], seed=number, prefix=f"{number}-"))
        for number in range(6)
    }


SHARDS = shards(40)
SIZE = sum(map(len, SHARDS.values()))
PART = 1 << 18

READ = """
import asyncio, hashlib, json, sys
import asyncwds as wds

async def main(folder, urls, seed, stall):
    keys, found = [], hashlib.sha256()
    retry = wds.Retry(hedge=None, stall_timeout=stall)
    settings = dict(cache=wds.Cache(folder), retry=retry, shardshuffle=100 * (seed > 0), seed=seed)
    async with wds.open_samples(urls, prefetch=wds.Prefetch(connections=4, part_bytes=%d), **settings) as samples:
        async for sample in samples:
            if not keys:
                print("begun", flush=True)
            keys.append(sample["__key__"])
            found.update(sample["bin"])
    stats = samples.stats()
    again = stats.restarts + stats.splits + stats.retries
    print(json.dumps({"keys": keys, "digest": found.hexdigest(), "failures": stats.cache_failures, "again": again}))

asyncio.run(main(*json.loads(sys.argv[1])))
""".replace("%d", str(PART))


def started(arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", READ, arguments], stdout=subprocess.PIPE, text=True)


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer(SHARDS) as started:
        yield started


@pytest.fixture
def reader(server: FaultServer, tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts a process that reads all shards through the cache."""

    def start(seed: int = 0, stall: float = 20.0) -> subprocess.Popen[str]:
        arguments = json.dumps([str(tmp_path / "cache"), [server.url(name) for name in SHARDS], seed, stall])
        return started(arguments)

    return start


def outcome(process: subprocess.Popen[str]) -> dict[str, Any]:
    with process:
        assert process.stdout is not None
        text = process.stdout.read()
    assert process.returncode == 0
    found: dict[str, Any] = json.loads(text.splitlines()[-1])
    return found


def check(found: dict[str, Any], *, in_order: bool = True, samples: int = 40) -> None:
    keys = found["keys"] if in_order else sorted(found["keys"], key=lambda key: (int(key[0]), key))
    assert keys == [f"{shard}-{index:06d}" for shard in range(6) for index in range(samples)]
    assert found["failures"] == 0


def kept(folder: Path) -> dict[str, bytes]:
    return {path.name[0] + ".tar": path.read_bytes() for path in folder.glob("*.tar")}


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [(0, 0, 0, 0), (1, 2, 3, 4)], ids=["the same order", "four orders"])
def test_31_four_processes_fetch_each_byte_once(server, reader, tmp_path, seeds):
    processes = [reader(seed) for seed in seeds]
    again = 0
    for process in processes:
        found = outcome(process)
        check(found, in_order=seeds[0] == 0)
        again += found["again"]
    fetched = server.counters.bytes_sent
    # On a machine that stands still now and then, a part may seem to be stalled and be asked for again. And each process may
    # ask for one byte of a shard, to see whether what it finds half done is still the same.
    assert SIZE <= fetched < SIZE + again * PART + 100
    assert kept(tmp_path / "cache") == SHARDS
    check(outcome(reader()))
    assert server.counters.bytes_sent == fetched


def test_31_the_locks_of_a_killed_process_are_free(server, reader, tmp_path):
    server.add(Fault(path="2.tar", stall_at=300_000))
    first = reader(stall=1000.0)
    while server.counters.by_path["2.tar"] < 4:
        time.sleep(0.01)
    server.clear()
    second = reader(stall=1000.0)
    assert second.stdout is not None
    assert second.stdout.readline() == "begun\n"
    first.kill()
    first.communicate()
    check(outcome(second))
    assert kept(tmp_path / "cache") == SHARDS


def test_31_a_suspended_process_is_not_waited_for(server, reader, tmp_path):
    server.add(Fault(drip=200_000, times=8))
    first = reader()
    while server.counters.bytes_sent < 500_000:
        time.sleep(0.01)
    first.send_signal(signal.SIGSTOP)
    server.clear()
    try:
        check(outcome(reader(stall=0.5)))
    finally:
        first.send_signal(signal.SIGCONT)
    check(outcome(first))
    assert kept(tmp_path / "cache") == SHARDS


KILLED = (
    READ.rpartition("\n\n")[0]
    + """
import os, pathlib, random, signal, time, traceback
from asyncwds import open_samples  # imported before the fork: half of a child's CPU time
from asyncwds.storage import CachingFetcher, Hedged, HttpFetcher, Retrying

def running(child):
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

*arguments, digests = json.loads(sys.argv[1])
folder = pathlib.Path(arguments[0])
random.seed(int(sys.argv[2]))
whole = 0
for _ in range(20):
    children = []
    for _ in range(2):
        if not (child := os.fork()):
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            try:
                asyncio.run(main(*arguments))
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        children.append(child)
    wanted = random.randrange(6)
    while len(list(folder.glob("*.tar"))) < wanted:
        assert any(running(child) for child in children), "both ended early"
        time.sleep(0.002)
    time.sleep(random.uniform(0, 0.1))
    for child in children:
        os.kill(child, signal.SIGKILL)
        assert os.waitpid(child, 0)[1] in (0, signal.SIGKILL)  # done, or killed
    for path in folder.glob("*.tar"):
        assert hashlib.sha256(path.read_bytes()).hexdigest() == digests[path.name[0] + ".tar"], path
        whole += 1
        path.unlink()
print(whole)
"""
)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_35_sigkill_at_any_moment_leaves_nothing_torn(tmp_path, seed):
    """Shards of a megabyte on a slow link: what takes the time is the link, which a busy machine has too."""
    folder, small = tmp_path / "cache", shards(10)
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in small.items()}
    with FaultServer(small, bytes_per_second=8e6) as server:
        urls = [server.url(name) for name in small]
        arguments = json.dumps([str(folder), urls, 0, 20.0, digests])
        killed = subprocess.run([sys.executable, "-c", KILLED, arguments, str(seed)], check=True, stdout=subprocess.PIPE)
        assert int(killed.stdout) > 0
        check(outcome(started(json.dumps([str(folder), urls, 0, 20.0]))), samples=10)
    assert kept(folder) == small
    assert not [path for path in (folder / ".asyncwds").iterdir() if path.suffix in (".part", ".ranges")]
