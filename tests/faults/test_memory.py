"""Peaks of resident memory against `buffer_bytes`: every kind of source, every order, members from 1 KB to twice the buffer.

Each is measured in a process of its own, over what it has when it begins to read, with a consumer that sleeps now and then so
that all that may be held has come. The processes are forks of one that has imported all.
"""

import json
import os
import subprocess
import sys
import tarfile
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from asyncwds.testing import Fault, FaultServer

KiB, MiB = 1 << 10, 1 << 20
BUFFER = 32 * MiB
SHARDS = 2

PROGRAM = """
    import asyncio, json, os, sys, time
    from pathlib import Path
    import aiohttp
    import asyncwds as wds
    from asyncwds import Prefetch, WebDataset, open_samples  # with what they import, for all
    from asyncwds.storage import cache, http
    from asyncwds.storage.local import file, pipe

    def resident(name):
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith(name))

    def consume(sample, number):
        if number in (1, 3):
            time.sleep(0.3)
        return len(sample["bin"])

    async def read_async(dataset):
        number = 0
        async for sample in dataset:
            number, _ = number + 1, consume(sample, number)
        return number

    async def read_on_the_loop(urls, prefetch):
        number = 0
        async with wds.open_samples(urls, prefetch=prefetch) as samples:
            async for sample in samples:
                number, _ = number + 1, consume(sample, number)
            return number, samples.stats()

    def measure(how, prefetch, options, urls):
        prefetch = wds.Prefetch(**prefetch)
        dataset = wds.WebDataset(urls, prefetch=prefetch, shardshuffle=False, **options)
        idle = resident("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        if how == "for":
            number = sum(1 for number, sample in enumerate(dataset) if consume(sample, number))
            stats = dataset.stats()
        elif how == "async for":
            number = asyncio.run(read_async(dataset))
            stats = dataset.stats()
        else:
            number, stats = asyncio.run(read_on_the_loop(urls, prefetch))
        print(number, resident("VmHWM") - idle, stats.buffered_peak, flush=True)

    for line in sys.stdin:
        if not os.fork():
            measure(*json.loads(line))
            break  # and the process ends as any other
        print("ended", os.wait()[1], flush=True)
"""


class Case(NamedTuple):
    source: str
    size: int
    how: str = "for"
    order: str = "plan"
    interleave: int = 1


CASES = [
    Case("http", KiB),
    Case("http", 100 * KiB),
    Case("http", 4 * MiB),
    Case("http", 20 * MiB),
    Case("http", 2 * BUFFER),
    Case("http", 20 * MiB, order="arrival"),
    Case("http", 20 * MiB, interleave=8),
    Case("http", 20 * MiB, how="async for"),
    Case("http", 20 * MiB, how="open_samples"),
    Case("http without ranges", 20 * MiB),
    Case("file", MiB),
    Case("file", 4 * MiB),
    Case("file", 20 * MiB),
    Case("file", 20 * MiB, order="arrival"),
    Case("file", 20 * MiB, interleave=8),
    Case("file", 2 * BUFFER),
    Case("pipe", 20 * MiB),
    Case("gzip", 20 * MiB),
    Case("cache", 20 * MiB),
]


def write_shard(path: Path, size: int, members: int) -> None:
    """Members of zeros, with holes in place of them."""
    with path.open("wb") as file:
        for number in range(members):
            member = tarfile.TarInfo(f"{path.stem}-{number:06d}.bin")
            member.size = size
            file.write(member.tobuf())
            file.seek(size + -size % 512, os.SEEK_CUR)
        file.write(bytes(1024))


def url_of(source: str, folder: Path, name: str, server: FaultServer) -> str:
    match source:
        case "file":
            return str(folder / name)
        case "pipe":
            return f"pipe:cat {folder / name}"
        case "gzip":
            return f"pipe:gzip -1 < {folder / name}"
    return server.url(name)


def bound(case: Case) -> float:
    """The buffer, and what a process has besides; and where two samples take more, those and the one that is assembled.

    With `interleave` what was fetched of the other shards before the size of samples was known stays.
    """
    more = max(0, 3 * case.size - 2 * BUFFER)
    return 1.25 * BUFFER + 64 * MiB + more + (case.size if case.interleave > 1 else 0)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., list[int]]]:
    """`measured(how, prefetch, options, urls)`: how many samples, how much memory grew, and what was counted [bytes]."""
    errors = tmp_path_factory.mktemp("memory") / "stderr"
    command = [sys.executable, "-c", textwrap.dedent(PROGRAM)]
    with (
        errors.open("w") as stderr,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, text=True) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None

        def measure(*arguments: object) -> list[int]:
            print(json.dumps(arguments), file=process.stdin, flush=True)
            found, ended = process.stdout.readline(), process.stdout.readline()
            assert (ended, errors.read_text()) == ("ended 0\n", ""), found
            return [int(number) for number in found.split()]

        yield measure
        process.stdin.close()
        assert process.wait() == 0


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case)))
def test_fault_46_peaks_stay_within_the_buffer_whatever_the_size_of_members(case, tmp_path, measured):
    members = max(3, min(2 * BUFFER // case.size, 5000))
    folder = tmp_path / "data"
    folder.mkdir()
    names = [f"{shard}.tar" for shard in range(max(SHARDS, case.interleave))]
    for name in names:
        write_shard(folder / name, case.size, members)
    prefetch = {"connections": 8, "buffer_bytes": BUFFER, "order": case.order, "interleave": case.interleave}
    options = {"cache_dir": str(tmp_path / "cache")} if case.source == "cache" else {}
    with FaultServer(folder, faults=[Fault(no_ranges=True)] if "without" in case.source else []) as server:
        urls = [url_of(case.source, folder, name, server) for name in names]
        number, peak, counted = measured(case.how, prefetch, options, urls)
    assert number == len(names) * members
    assert peak <= bound(case)
    assert case.size <= counted <= max(1.25 * BUFFER, 2.5 * case.size + BUFFER / (1 if case.interleave > 1 else 2))
