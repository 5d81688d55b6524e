"""Do the tools for shards copy as fast as cp, and verify as fast as reading?

    python -m bench tools

8 shards of 1000 samples of 110 KB, on a local disk and in the page cache. `cat` makes one archive of them and `split` shards of 500
samples, as commands, their start included, beside `cp` of the same files, GNU tar (`tar --concatenate`), and webdataset, which
reads them through a pipe and writes by its ShardWriter. Each writes to an empty folder: over what is there `cp` writes in the
memory that this has, while what is there whole or not at all needs its own. "On disk" the shards, 2.2 GB of them, are not in the
page cache, and what is written is on the disk at the end. `verify` and `index` are called from Python, beside reading the same
shards as a dataset: with samples of 110 KB, 10 KB and 0.4 KB.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from bench.harness import Answer, Contender, Question, Size, Target, World
from bench.tally import Tally

EACH = 500  # samples of a shard that `split` writes
SIZES = {"110 KB": (8, 1000, 110_000), "10 KB": (4, 5000, 10_000), "0.4 KB": (2, 50_000, 400)}  # shards, samples, bytes of a sample
ON_DISK = (20, 1000, 110_000)
READ = ["asyncwds:WebDataset", "asyncwds.tools:verify_shards", "asyncwds:make_index", "numpy"]


@contextmanager
def prepare(size: Size) -> Iterator[World]:
    from asyncwds.testing import make_samples, make_shard

    with tempfile.TemporaryDirectory() as folder:
        found: dict[str, list[str]] = {}
        for name, (shards, each, nbytes) in {**SIZES, "on disk": ON_DISK}.items():
            number = each if size == "full" else each // 50
            paths = [Path(folder, f"{name}-{shard}.tar".replace(" ", "")) for shard in range(shards)]
            for shard, path in enumerate(paths):
                samples = make_samples(number, size=nbytes, fields=("jpg", "cls"), prefix=f"{shard}-", seed=shard)
                path.write_bytes(make_shard(samples))
            found[name] = [str(path) for path in paths]
        total = sum(Path(path).stat().st_size for path in found["110 KB"])
        yield {"samples": 0, "bytes": total, "folder": folder, "shards": found, "each": EACH if size == "full" else EACH // 50}


@dataclass(frozen=True)
class Job:
    """Shards to copy to a folder; `each` is how many samples those have that `split` writes."""

    shards: list[str]
    out: Path
    each: int


Command = Callable[[Job], list[str]]


def copying(name: str, command: Command, *, on_disk: bool = False) -> Callable[[World, Tally], None]:
    """Runs a command that writes to a folder of its own, and sees whether all is there, by its size."""

    def run(world: World, tally: Tally) -> None:
        del tally
        job = Job(world["shards"]["on disk" if on_disk else "110 KB"], Path(world["folder"], name), world["each"])
        done = subprocess.run(command(job), check=False, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr)
        if on_disk:
            for path in (*job.out.iterdir(), job.out):
                call_for_file(path, os.fsync)
        written, read = (sum(path.stat().st_size for path in paths) for paths in (job.out.iterdir(), map(Path, job.shards)))
        if not 0.99 < written / read < 1.05:  # shards of tar and webdataset are multiples of 10 KiB
            raise RuntimeError(f"{name} wrote {written} bytes of {read}")

    return run


def empty(name: str, world: World) -> None:
    """Makes the folder that a contender writes to."""
    out = Path(world["folder"], name)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()


def empty_and_evict(name: str, world: World) -> None:
    """And takes the shards out of the page cache, once nothing waits to be written any more."""
    empty(name, world)
    os.sync()
    for shard in world["shards"]["on disk"]:
        call_for_file(Path(shard), lambda file: os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED))


def call_for_file(path: Path, function: Callable[[int], object]) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        function(descriptor)
    finally:
        os.close(descriptor)


def by_cp(job: Job) -> list[str]:
    return ["cp", *job.shards, str(job.out)]


def by_tar(job: Job) -> list[str]:
    first, *others = job.shards
    return ["sh", "-c", 'cp "$1" "$0" && shift && tar --concatenate -f "$0" "$@"', str(job.out / "all.tar"), first, *others]


def by_cat(job: Job) -> list[str]:
    return [sys.executable, "-m", "asyncwds", "cat", *job.shards, "--force", "-o", str(job.out / "all.tar")]


def by_split(job: Job) -> list[str]:
    target = str(job.out / "part-{shard:06d}.tar")
    return [sys.executable, "-m", "asyncwds", "split", *job.shards, "--max-count", str(job.each), "--force", "-o", target]


RESHARD = """
import sys, webdataset as wds
pattern, count, *shards = sys.argv[1:]
urls = [f"pipe:cat {shard}" for shard in shards]
with wds.ShardWriter(pattern, maxcount=int(count), maxsize=1e12, encoder=False, verbose=0) as writer:
    for sample in wds.WebDataset(urls, shardshuffle=False, empty_check=False):
        writer.write({name: value for name, value in sample.items() if name == "__key__" or name[:2] != "__"})
"""


def by_webdataset(job: Job) -> list[str]:
    return [sys.executable, "-c", RESHARD, str(job.out / "part-%06d.tar"), str(job.each), *job.shards]


def read(name: str) -> Callable[[World, Tally], None]:
    def run(world: World, tally: Tally) -> None:
        import asyncwds as wds

        del tally
        for _ in wds.WebDataset(world["shards"][name], shardshuffle=False):
            pass

    return run


def verify(name: str) -> Callable[[World, Tally], None]:
    def run(world: World, tally: Tally) -> None:
        from asyncwds.tools import Inputs, verify_shards

        del tally
        found = verify_shards(Inputs(urls=world["shards"][name]))
        if not found.samples or found.problems:
            raise RuntimeError(f"something is wrong with the shards: {found.counts}")

    return run


def index(world: World, tally: Tally) -> None:
    import asyncwds as wds

    del tally
    wds.make_index(world["shards"]["110 KB"])


def ratio(name: str, other: str) -> Callable[[Answer], float]:
    """How many times as fast it is as the other one."""
    return lambda answer: answer[other].seconds / answer[name].seconds


def contenders() -> dict[str, Contender]:
    copies = {"cp": by_cp, "GNU tar": by_tar, "asyncwds cat": by_cat, "asyncwds split": by_split}
    if find_spec("webdataset"):
        copies["pipe | webdataset"] = by_webdataset
    found = {name: Contender(copying(name, command), group="", before=partial(empty, name)) for name, command in copies.items()}
    for name in ("cp", "asyncwds cat", "asyncwds split"):
        on_disk = f"{name}, on disk"
        copy = copying(on_disk, copies[name], on_disk=True)
        found[on_disk] = Contender(copy, group="", before=partial(empty_and_evict, on_disk))
    for name in SIZES:
        found[f"read, {name}"] = Contender(read(name), needs=READ, group="")
        found[f"verify, {name}"] = Contender(verify(name), needs=READ, group="")
    return {**found, "index, 110 KB": Contender(index, needs=READ, group="")}


def targets() -> list[Target]:
    beside_webdataset = [
        Target(f"{name} beside pipe | webdataset", ratio(name, "pipe | webdataset"), at_least=3)
        for name in ("asyncwds cat", "asyncwds split")
        if find_spec("webdataset")
    ]
    return [
        Target("asyncwds cat beside cp", ratio("asyncwds cat", "cp"), at_least=0.8),
        Target("asyncwds split beside cp", ratio("asyncwds split", "cp"), at_least=0.8),
        Target("asyncwds cat beside cp, on disk", ratio("asyncwds cat, on disk", "cp, on disk"), at_least=0.8),
        Target("asyncwds split beside cp, on disk", ratio("asyncwds split, on disk", "cp, on disk"), at_least=0.8),
        *beside_webdataset,
        *[Target(f"verify beside reading, {name}", ratio(f"verify, {name}", f"read, {name}"), at_least=0.8) for name in SIZES],
    ]


QUESTION = Question(prepare=prepare, contenders=contenders(), columns=["seconds"], targets=targets())
