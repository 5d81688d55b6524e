"""What does a state cost, what do states cost while data are read, and what a resume at 90 % of an epoch of 1,000 shards?

    python -m bench resume

Timed is what a consumer pays: batches of 64 small samples through a shuffle, with a state never, every ten batches, and behind
each batch. Before that are printed the cost of one state, without buffers and with 10,000 samples held; and of an iteration that
goes on at 90 % of an epoch of shards over HTTP, from a server that answers after 20 ms: the bytes and requests before its first
item, how many of these were for shards that had been read to their end, and the seconds.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from statistics import median
from time import perf_counter, sleep
from typing import Any

from bench.harness import Contender, Question, Size, Target, World
from bench.tally import Tally

BATCH, EVERY, EACH = 64, 10, 20
HELD = 10_000
NEEDS = ["asyncwds:WebDataset", "numpy"]


@contextmanager
def prepare(size: Size) -> Iterator[World]:
    from asyncwds.testing import FaultServer, make_samples, make_shard

    shards, each = (20, 2000) if size == "full" else (4, 200)
    with tempfile.TemporaryDirectory() as folder:
        samples = 0
        for number in range(shards):
            made = list(make_samples(each, size=1_000, fields=("jpg", "cls"), prefix=f"{number}-", seed=number))
            Path(folder, f"s{number}.tar").write_bytes(make_shard(made))
            samples += len(made)
        nbytes = sum(path.stat().st_size for path in Path(folder).iterdir())
        urls = f"{folder}/s{{0..{shards - 1}}}.tar"
        for held in (0, min(HELD, samples // 3)):
            print_cost(urls, held)
        many = 1000 if size == "full" else 50
        contents = {
            f"m{number}.tar": make_shard(make_samples(EACH, size=4_000, fields=("jpg", "cls"), prefix=f"{number}-", seed=number))
            for number in range(many)
        }
        with FaultServer(contents, first_byte_delay=0.02) as server:
            for held in (0, 200):
                print_resume(server, f"{server.url('m')}{{0..{many - 1}}}.tar", int(0.9 * EACH * many) + 7, held)
        yield {"samples": samples, "bytes": nbytes, "urls": urls}


def print_cost(urls: str, held: int) -> None:
    import asyncwds as wds

    times: list[float] = []
    state: dict[str, Any] = {}
    data = wds.WebDataset(urls, shardshuffle=True, seed=1).shuffle(held, initial=held)
    with closing(iter(data)) as items:
        for _ in islice(items, 7 if held else 100):
            sleep(110 * max(times, default=0) if held else 0)  # large ones that are asked for more often are the one before
            began = perf_counter()
            state = data.state_dict()
            times.append(perf_counter() - began)
    took, best = median(times) * 1e6, min(times) * 1e6
    size = len(json.dumps(state)) / 1e3
    print(f"  a state with {held:,} held: {took:,.0f} us, at best {best:,.0f}, {size:.1f} KB", flush=True)


def print_resume(server: Any, urls: str, count: int, held: int) -> None:
    import asyncwds as wds

    def make() -> Any:
        return wds.WebDataset(urls, shardshuffle=True, seed=1).shuffle(held, initial=held)

    data = make()
    items = iter(data)
    first = list(islice(items, count))
    state = data.state_dict()
    items.close()
    given = Counter(sample["__url__"] for sample in first)
    finished = {url.rpartition("/")[2] for url, samples in given.items() if samples == EACH}
    resumed = make()
    resumed.load_state_dict(state)
    before = server.counters.bytes_sent
    server.requests.clear()
    began = perf_counter()
    items = iter(resumed)
    next(items)
    seconds = perf_counter() - began
    sent, asked = server.counters.bytes_sent - before, [request.name for request in server.requests]
    items.close()
    print(
        f"  at 90 %, {held} held: first item after {seconds * 1e3:.0f} ms, {sent / 1e6:.2f} MB {len(asked)} requests, "
        f"{sum(name in finished for name in asked)} of {len(finished)} shards that had been given whole",
        flush=True,
    )


def reading(every: int | None) -> Callable[[World, Tally], None]:
    def run(world: World, tally: Tally) -> None:
        import asyncwds as wds

        data = wds.WebDataset(world["urls"], shardshuffle=True, seed=1).shuffle(HELD).listed(BATCH)
        for number, batch in enumerate(data, 1):
            for sample in batch:
                tally.add({"jpg": sample["jpg"], "cls": sample["cls"]})
            if every is not None and number % every == 0:
                data.state_dict()

    return run


QUESTION = Question(
    prepare=prepare,
    contenders={
        "no states": Contender(reading(None), needs=NEEDS),
        f"every {EVERY} batches": Contender(reading(EVERY), needs=NEEDS),
        "behind each batch": Contender(reading(1), needs=NEEDS),
    },
    columns=["seconds", "samples_per_second", "cpu_per_gb"],
    targets=[
        Target(
            "throughput with a state every ten batches",
            lambda a: a["no states"].seconds / a[f"every {EVERY} batches"].seconds,
            at_least=0.98,
        ),
    ],
)
