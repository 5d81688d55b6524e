"""What does a ledger cost, of samples so small that what is done for each of them counts?

    python -m bench ledger

Samples of two fields, 400 bytes together, from local files in the page cache: one by one, and as tuples in batches of 64 behind a
shuffle. Without a ledger, with one that only checks that the epoch adds up, and with one that writes which samples were in
which step. Before that is printed how much is written, and how long it takes to make a step again.

CPU time counts, which other processes disturb less.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from bench import data
from bench.harness import Answer, Contender, Question, Size, Target, World
from bench.tally import Tally

BATCH, BUFFER = 64, 1000
REPLAYED = 5
NEEDS = ["asyncwds:WebDataset", "asyncwds:Ledger", "numpy"]


@contextmanager
def prepare(size: Size) -> Iterator[World]:
    samples = 80_000 if size == "full" else 500
    with tempfile.TemporaryDirectory() as folder, data.shards(2, samples=samples, size=200, fields=("a", "b")) as world:
        print_written(world, Path(folder, "steps.jsonl"))
        yield {**world, "ledger": f"{folder}/steps.jsonl"}


def print_written(world: World, path: Path) -> None:
    import asyncwds as wds

    data = batches(world, path)
    steps = sum(1 for _ in data)
    each = path.stat().st_size / world["samples"]
    times = []
    for number in range(REPLAYED):
        began = perf_counter()
        wds.replay(data, path, number * (steps - 1) // (REPLAYED - 1))
        times.append(perf_counter() - began)
    print(f"  {each:.1f} bytes a sample; a step of {BATCH} is made again in {median(times) * 1e3:.0f} ms", flush=True)


def singles(world: World, ledger: Any) -> Any:
    import asyncwds as wds

    return wds.WebDataset(world["urls"], shardshuffle=True, seed=1, ledger=ledger)


def batches(world: World, ledger: Any) -> Any:
    return singles(world, ledger).shuffle(BUFFER).to_tuple("a", "b").listed(BATCH)


def in_batches(kind: Callable[[World], Any]) -> Callable[[World, Tally], None]:
    def run(world: World, tally: Tally) -> None:
        dataset = batches(world, kind(world))
        for batch in dataset:
            for a, b in batch:
                tally.add({"a": a, "b": b})
        dataset.report()

    return run


def one_by_one(kind: Callable[[World], Any]) -> Callable[[World, Tally], None]:
    def run(world: World, tally: Tally) -> None:
        dataset = singles(world, kind(world))
        for sample in dataset:
            tally.add(sample)
        dataset.report()

    return run


def strict(_: World) -> Any:
    import asyncwds as wds

    return wds.Ledger(strict=True)


KINDS: dict[str, Callable[[World], Any]] = {"off": lambda _: None, "strict": strict, "written": lambda world: world["ledger"]}


def _over_none(way: str, kind: str, at_least: float) -> Target:
    def ratio(answer: Answer) -> float:
        return answer[f"{way}, off"].cpu / answer[f"{way}, {kind}"].cpu

    return Target(f"CPU time without a ledger, by that with it: {way}, {kind}", ratio, at_least=at_least)


QUESTION = Question(
    prepare=prepare,
    contenders={
        f"{way}, {name}": Contender(made(kind), needs=NEEDS, group=way)
        for way, made in (("batches", in_batches), ("samples", one_by_one))
        for name, kind in KINDS.items()
    },
    every=64,
    columns=["samples_per_second", "us_per_sample", "cpu_per_gb"],
    targets=[_over_none("batches", "strict", 0.95), _over_none("batches", "written", 0.95), _over_none("samples", "written", 0.5)],
)
