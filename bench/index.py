"""How many random samples a second, by an index, from local files and over HTTP, and beside wids?

    python -m bench index

4 shards of 300 samples: an image of 110 KB and a class. Each contender reads 400 samples in the same random order, one after
another; `batches` asks for 40 at a time, as a DataLoader does. The server answers after 20 ms. wids (of webdataset 0.2) reads
local files through mmap; over HTTP it downloads whole shards before their first sample. It is left out where it is not installed.
Beside that the index is made: from the headers of a shard over HTTP, and what it takes a sample is printed.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from bench.harness import Contender, Question, Size, Target, World
from bench.tally import Tally

SHARDS, BATCH = 4, 40
NEEDS = ["asyncwds:WebDataset", "asyncwds.index.finding:find_index", "asyncwds.index.access:RandomAccess", "aiohttp"]


@contextmanager
def prepare(size: Size) -> Iterator[World]:
    import asyncwds as wds
    from asyncwds.testing import FaultServer, make_samples, make_shard

    each, wanted = (300, 400) if size == "full" else (20, 40)
    with tempfile.TemporaryDirectory() as folder:
        for number in range(SHARDS):
            samples = make_samples(each, size=110_000, fields=("jpg", "cls"), prefix=f"{number}-", seed=number)
            Path(folder, f"s{number}.tar").write_bytes(make_shard(samples))
        pattern = f"s{{0..{SHARDS - 1}}}.tar"
        index = wds.make_index(f"{folder}/{pattern}")
        wds.save_index(index, f"{folder}/all.wdsindex")
        packed = sum(len(shard.packed or b"") for shard in index.shards)
        with FaultServer(folder) as server:
            wds.make_index(server.url("s0.tar"))
            share = server.counters.bytes_sent / Path(folder, "s0.tar").stat().st_size
        print(f"  the index: {packed / len(index):.1f} bytes a sample, made of {share:.2%} of the bytes of a shard", flush=True)
        with FaultServer(folder, first_byte_delay=0.02) as server:
            wds.save_index(wds.make_index(f"{folder}/{pattern}"), f"{folder}/shardindex.json", "wids")
            order = random.Random(0).sample(range(SHARDS * each), wanted)
            nbytes = sum(field.size for number in order for field in index[number].fields)
            known = {"local": f"{folder}/{pattern}", "remote": server.url() + pattern, "order": order, "folder": folder}
            yield {"samples": wanted, "bytes": nbytes, **known}


def by_index(where: str, batch: int | None) -> Callable[[World, Tally], None]:
    def run(world: World, tally: Tally) -> None:
        import asyncwds as wds

        access = wds.WebDataset(world[where], index=f"{world['folder']}/all.wdsindex").random_access()
        order = world["order"]
        if batch is None:
            samples = (access[number] for number in order)
        else:
            begins = range(0, len(order), batch)
            samples = (sample for begin in begins for sample in access.__getitems__(order[begin : begin + batch]))
        for sample in samples:
            tally.add({"jpg": sample["jpg"], "cls": sample["cls"]})
        access.close()

    return run


def by_wids(world: World, tally: Tally) -> None:
    dataset: Any = import_module("wids").ShardListDataset(f"{world['folder']}/shardindex.json", transformations=[])
    for number in world["order"]:
        sample = dataset[number]
        tally.add({"jpg": sample[".jpg"].read(), "cls": sample[".cls"].read()})
    dataset.close()


def contenders() -> dict[str, Contender]:
    from importlib.util import find_spec

    found = {
        "local, one by one": Contender(by_index("local", None), needs=NEEDS),
        "local, batches": Contender(by_index("local", BATCH), needs=NEEDS),
        "HTTP, one by one": Contender(by_index("remote", None), needs=NEEDS),
        "HTTP, batches": Contender(by_index("remote", BATCH), needs=NEEDS),
    }
    return found | ({"wids, local": Contender(by_wids, needs=["wids"])} if find_spec("wids") else {})


QUESTION = Question(
    prepare=prepare,
    contenders=contenders(),
    columns=["seconds", "samples_per_second", "cpu_per_gb", "first"],
    targets=[
        Target(
            "batches over HTTP beside one by one", lambda a: a["HTTP, one by one"].seconds / a["HTTP, batches"].seconds, at_least=4
        ),
    ],
)
