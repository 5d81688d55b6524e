"""Orders of shards, as recorded when each pattern was expanded to a list of urls: a seed stands for one order, in all releases."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import pytest

import asyncwds as wds
from asyncwds import DataPipeline, WebDataset

ALL = "s-{00..22}.tar"
LIST = [f"s-{number:02}.tar" for number in range(23)]
SPEC = {
    "datasets": [
        {"name": "all", "shards": "s-{00..04}.tar"},
        {"name": "some", "shards": ["s-{05..12}.tar", "s-13.tar"], "choose": 4},
        {"name": "drawn", "shards": "s-{14..22}.tar", "resample": 6},
    ]
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """23 shards of one sample."""
    path = tmp_path_factory.mktemp("shards")
    for name in LIST:
        with wds.TarWriter(str(path / name)) as writer:
            writer.write({"__key__": name.partition(".")[0], "txt": "x"})
    return path


def every_third(shards: Iterable[Any]) -> Iterator[Any]:
    return islice(shards, 1, None, 3)


def backwards(shards: Iterable[Any], *, place: wds.WorkerInfo) -> Iterable[Any]:
    return list(shards)[:: -place.num_workers]


def as_urls(shards: Iterable[Any]) -> Iterable[str]:
    return [shard["url"] for shard in shards]


def dataset(urls: Any = ALL, **options: Any) -> Callable[[], Iterable[Any]]:
    return lambda: WebDataset(urls, **{"seed": 7, "nodesplitter": wds.split_by_node, "empty_check": False} | options)


def pipeline(*stages: Callable[[], Any]) -> Callable[[], Iterable[Any]]:
    return lambda: DataPipeline(*[make() for make in stages], seed=7)


DATASETS: dict[str, Callable[[], Iterable[Any]]] = {
    "in order": dataset(),
    "shardshuffle=True": dataset(shardshuffle=True),
    "shardshuffle=5": dataset(shardshuffle=5),
    "shardshuffle=1000": dataset(shardshuffle=1000),
    "detshuffle": dataset(shardshuffle=True, detshuffle=True),
    "a list": dataset(LIST, shardshuffle=True),
    "patterns": dataset(["s-{00..10}.tar", "s-11.tar::s-{12..22}.tar"], shardshuffle=9),
    "repeat=2": dataset("s-{00..05}.tar", shardshuffle=True, repeat=2),
    "no splitters": dataset("s-{00..05}.tar", shardshuffle=True, nodesplitter=None, workersplitter=None),
    "no workersplitter": dataset(shardshuffle=True, workersplitter=None),
    "split by worker twice": dataset(shardshuffle=True, nodesplitter=wds.split_by_worker),
    "an own splitter": dataset(shardshuffle=True, nodesplitter=every_third),
    "one that takes the place": dataset(shardshuffle=4, workersplitter=backwards),
    "one that gives urls": dataset(shardshuffle=4, workersplitter=as_urls),
    "resampled": dataset(resampled=True),
    "resampled, with splitters": dataset(mode="resampled", workersplitter=every_third),
    "a spec": dataset(SPEC),
    "a spec, shuffled": dataset(SPEC, shardshuffle=True),
    "SimpleShardList": pipeline(lambda: wds.SimpleShardList(ALL), lambda: wds.split_by_node, lambda: wds.split_by_worker),
    "SimpleShardList, seed": pipeline(lambda: wds.SimpleShardList(ALL, seed=3), lambda: wds.split_by_node),
    "SimpleShardList, shuffle": pipeline(lambda: wds.SimpleShardList(ALL), lambda: wds.shuffle(10), lambda: wds.split_by_worker),
    "ResampledShards": pipeline(lambda: wds.ResampledShards(ALL, 12)),
    "ResampledShards, deterministic": pipeline(lambda: wds.ResampledShards(ALL, 12, deterministic=True)),
    "MultiShardSample": pipeline(lambda: wds.MultiShardSample(SPEC), lambda: wds.split_by_node),
}
PLACES = {"alone": (0, 1, 0, 1), "rank 1 of 2": (1, 2, 0, 1), "rank 1 of 2, worker 2 of 3": (1, 2, 2, 3)}
EPOCHS = (0, 3)

# By dataset and place: in the first epoch of those above, in the second.
ORDERS = {
    ("in order", "alone"): (
        "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22",
        "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22",
    ),
    ("in order", "rank 1 of 2"): ("1 3 5 7 9 11 13 15 17 19 21", "1 3 5 7 9 11 13 15 17 19 21"),
    ("in order", "rank 1 of 2, worker 2 of 3"): ("5 11 17", "5 11 17"),
    ("shardshuffle=True", "alone"): (
        "10 4 12 1 2 17 3 11 9 0 8 16 13 19 6 20 22 14 7 15 21 18 5",
        "18 1 13 15 22 0 6 14 20 7 4 10 2 17 8 19 11 9 21 16 5 12 3",
    ),
    ("shardshuffle=True", "rank 1 of 2"): ("11 5 13 1 15 9 17 19 7 21 3", "19 1 13 15 9 21 3 7 17 5 11"),
    ("shardshuffle=True", "rank 1 of 2, worker 2 of 3"): ("11 5 17", "17 5 11"),
    ("shardshuffle=5", "alone"): (
        "2 1 3 0 7 9 8 4 12 10 14 5 13 16 6 18 17 15 20 19 22 11 21",
        "4 0 3 6 8 5 1 7 11 2 10 9 16 12 13 15 14 18 19 17 22 20 21",
    ),
    ("shardshuffle=5", "rank 1 of 2"): ("5 3 7 1 15 19 17 9 13 21 11", "9 1 7 13 17 11 3 15 21 5 19"),
    ("shardshuffle=5", "rank 1 of 2, worker 2 of 3"): ("11 5 17", "17 5 11"),
    ("shardshuffle=1000", "alone"): (
        "10 4 12 1 2 17 3 11 9 0 8 16 13 19 6 20 22 14 7 15 21 18 5",
        "18 1 13 15 22 0 6 14 20 7 4 10 2 17 8 19 11 9 21 16 5 12 3",
    ),
    ("shardshuffle=1000", "rank 1 of 2"): ("11 5 13 1 15 9 17 19 7 21 3", "19 1 13 15 9 21 3 7 17 5 11"),
    ("shardshuffle=1000", "rank 1 of 2, worker 2 of 3"): ("11 5 17", "17 5 11"),
    ("detshuffle", "alone"): (
        "10 4 12 1 2 17 3 11 9 0 8 16 13 19 6 20 22 14 7 15 21 18 5",
        "18 1 13 15 22 0 6 14 20 7 4 10 2 17 8 19 11 9 21 16 5 12 3",
    ),
    ("detshuffle", "rank 1 of 2"): ("11 5 13 1 15 9 17 19 7 21 3", "19 1 13 15 9 21 3 7 17 5 11"),
    ("detshuffle", "rank 1 of 2, worker 2 of 3"): ("11 5 17", "17 5 11"),
    ("a list", "alone"): (
        "10 4 12 1 2 17 3 11 9 0 8 16 13 19 6 20 22 14 7 15 21 18 5",
        "18 1 13 15 22 0 6 14 20 7 4 10 2 17 8 19 11 9 21 16 5 12 3",
    ),
    ("a list", "rank 1 of 2"): ("11 5 13 1 15 9 17 19 7 21 3", "19 1 13 15 9 21 3 7 17 5 11"),
    ("a list", "rank 1 of 2, worker 2 of 3"): ("11 5 17", "17 5 11"),
    ("patterns", "alone"): (
        "5 2 6 0 1 13 12 8 11 17 3 16 14 10 21 20 7 19 4 18 15 9 22",
        "0 6 7 8 3 10 13 4 2 11 18 14 5 1 12 20 17 22 21 16 15 19 9",
    ),
    ("patterns", "rank 1 of 2"): ("11 5 13 1 15 9 21 19 7 17 3", "1 13 15 17 3 7 11 5 9 21 19"),
    ("patterns", "rank 1 of 2, worker 2 of 3"): ("11 5 17", "17 5 11"),
    ("repeat=2", "alone"): ("2 1 3 5 0 4 1 2 4 0 5 3", "4 0 3 1 5 2 0 5 1 4 2 3"),
    ("repeat=2", "rank 1 of 2"): ("3 1 5 1 3 5", "5 1 3 1 5 3"),
    ("repeat=2", "rank 1 of 2, worker 2 of 3"): ("5 5", "5 5"),
    ("no splitters", "alone"): ("2 1 3 5 0 4", "4 0 3 1 5 2"),
    ("no splitters", "rank 1 of 2"): ("2 1 3 5 0 4", "4 0 3 1 5 2"),
    ("no splitters", "rank 1 of 2, worker 2 of 3"): ("2 1 3 5 0 4", "4 0 3 1 5 2"),
    ("no workersplitter", "alone"): (
        "10 4 12 1 2 17 3 11 9 0 8 16 13 19 6 20 22 14 7 15 21 18 5",
        "18 1 13 15 22 0 6 14 20 7 4 10 2 17 8 19 11 9 21 16 5 12 3",
    ),
    ("no workersplitter", "rank 1 of 2"): ("11 5 13 1 15 9 17 19 7 21 3", "19 1 13 15 9 21 3 7 17 5 11"),
    ("no workersplitter", "rank 1 of 2, worker 2 of 3"): ("11 5 13 1 15 9 17 19 7 21 3", "19 1 13 15 9 21 3 7 17 5 11"),
    ("split by worker twice", "alone"): (
        "10 4 12 1 2 17 3 11 9 0 8 16 13 19 6 20 22 14 7 15 21 18 5",
        "18 1 13 15 22 0 6 14 20 7 4 10 2 17 8 19 11 9 21 16 5 12 3",
    ),
    ("split by worker twice", "rank 1 of 2"): (
        "10 4 12 1 2 17 3 11 9 0 8 16 13 19 6 20 22 14 7 15 21 18 5",
        "18 1 13 15 22 0 6 14 20 7 4 10 2 17 8 19 11 9 21 16 5 12 3",
    ),
    ("split by worker twice", "rank 1 of 2, worker 2 of 3"): ("17 8", "8 17"),
    ("an own splitter", "alone"): ("16 4 10 1 13 7 22 19", "1 10 19 13 22 16 4 7"),
    ("an own splitter", "rank 1 of 2"): ("16 4 10 1 13 7 22 19", "1 10 19 13 22 16 4 7"),
    ("an own splitter", "rank 1 of 2, worker 2 of 3"): ("16 7", "7 16"),
    ("one that takes the place", "alone"): (
        "20 21 17 22 16 15 19 14 18 12 10 8 7 9 11 6 3 4 2 5 13 1 0",
        "22 18 17 19 21 14 13 20 15 16 9 12 10 11 8 7 3 6 5 0 2 1 4",
    ),
    ("one that takes the place", "rank 1 of 2"): ("17 19 11 21 9 7 15 5 3 1 13", "21 13 11 15 19 5 3 17 1 9 7"),
    ("one that takes the place", "rank 1 of 2, worker 2 of 3"): ("9 21 15 3", "21 15 9 3"),
    ("one that gives urls", "alone"): (
        "2 1 5 0 6 7 3 8 4 10 12 14 15 13 11 16 19 18 20 17 9 21 22",
        "0 4 5 3 1 8 9 2 7 6 13 10 12 11 14 15 19 16 17 22 20 21 18",
    ),
    ("one that gives urls", "rank 1 of 2"): ("5 3 11 1 13 15 7 17 19 21 9", "1 9 11 7 3 17 19 5 21 13 15"),
    ("one that gives urls", "rank 1 of 2, worker 2 of 3"): ("5 3 11 1 13 15 7 17 19 21 9", "1 9 11 7 3 17 19 5 21 13 15"),
    ("resampled", "alone"): (
        "16 9 0 19 12 6 21 15 22 3 19 18 10 22 21 15 1 2 7 2 12 7 12",
        "20 6 22 4 13 6 10 9 10 2 17 12 1 5 15 19 10 3 11 1 15 20 20",
    ),
    ("resampled", "rank 1 of 2"): (
        "1 12 12 4 13 7 16 6 19 16 8 20 7 11 20 10 22 2 18 18 20 21 0",
        "8 11 6 19 18 5 19 5 4 10 21 4 15 10 0 17 3 12 13 19 13 12 6",
    ),
    ("resampled", "rank 1 of 2, worker 2 of 3"): (
        "18 21 1 4 12 16 6 4 6 20 13 14 18 10 18 1 7 9 8 18 16 21 21",
        "9 14 17 15 3 5 21 4 16 20 11 7 18 19 19 2 21 20 6 20 8 18 3",
    ),
    ("resampled, with splitters", "alone"): (
        "9 12 15 19 22 1 2 12 9 7 4 17 21 9 0 16 10 2 20 2 11 8 8",
        "6 13 9 17 5 10 1 20 11 13 19 15 4 10 2 13 22 7 14 14 14 7 7",
    ),
    ("resampled, with splitters", "rank 1 of 2"): (
        "12 13 6 8 11 22 18 0 6 5 17 9 3 16 4 11 10 13 10 9 16 21 12",
        "11 18 5 21 10 3 19 6 18 14 21 8 19 7 18 17 15 7 21 8 20 0 11",
    ),
    ("resampled, with splitters", "rank 1 of 2, worker 2 of 3"): (
        "21 12 4 13 10 7 18 21 17 4 19 3 0 21 21 16 2 2 12 14 21 3 16",
        "14 3 4 11 19 21 20 3 11 0 18 12 1 19 1 22 1 6 18 9 2 1 17",
    ),
    ("a spec", "alone"): ("14 2 6 12 17 14 4 18 3 14 17 0 11 9 1", "4 1 18 12 6 19 3 16 16 21 2 7 0 10 15"),
    ("a spec", "rank 1 of 2"): ("2 12 14 18 14 0 9", "1 12 19 16 21 7 10"),
    ("a spec", "rank 1 of 2, worker 2 of 3"): ("14 0", "19 7"),
    ("a spec, shuffled", "alone"): ("14 6 4 17 14 2 3 14 9 17 0 18 1 11 12", "21 4 3 16 15 10 12 7 0 16 18 1 2 19 6"),
    ("a spec, shuffled", "rank 1 of 2"): ("14 12 18 2 14 9 0", "21 1 16 10 19 7 12"),
    ("a spec, shuffled", "rank 1 of 2, worker 2 of 3"): ("0 14", "19 7"),
    ("SimpleShardList", "alone"): (
        "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22",
        "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22",
    ),
    ("SimpleShardList", "rank 1 of 2"): ("1 3 5 7 9 11 13 15 17 19 21", "1 3 5 7 9 11 13 15 17 19 21"),
    ("SimpleShardList", "rank 1 of 2, worker 2 of 3"): ("5 11 17", "5 11 17"),
    ("SimpleShardList, seed", "alone"): (
        "1 20 16 5 10 6 21 12 9 3 8 19 22 13 14 0 2 15 11 4 17 18 7",
        "21 22 6 10 9 19 13 3 7 16 17 14 5 11 12 20 4 0 1 8 15 2 18",
    ),
    ("SimpleShardList, seed", "rank 1 of 2"): ("20 5 6 12 3 19 13 0 15 4 18", "22 10 19 3 16 14 11 20 0 8 2"),
    ("SimpleShardList, seed", "rank 1 of 2, worker 2 of 3"): ("20 5 6 12 3 19 13 0 15 4 18", "22 10 19 3 16 14 11 20 0 8 2"),
    ("SimpleShardList, shuffle", "alone"): (
        "3 4 8 2 13 7 12 16 14 15 19 9 5 20 10 22 6 11 17 1 0 21 18",
        "5 2 9 3 10 6 11 8 13 16 14 12 20 21 22 19 7 4 18 0 15 1 17",
    ),
    ("SimpleShardList, shuffle", "rank 1 of 2"): (
        "3 4 8 2 13 7 12 16 14 15 19 9 5 20 10 22 6 11 17 1 0 21 18",
        "5 2 9 3 10 6 11 8 13 16 14 12 20 21 22 19 7 4 18 0 15 1 17",
    ),
    ("SimpleShardList, shuffle", "rank 1 of 2, worker 2 of 3"): ("8 7 14 9 10 11 0", "9 6 13 12 22 4 15"),
    ("ResampledShards", "alone"): ("11 20 13 9 17 14 11 16 18 6 5 9", "16 21 1 13 12 9 5 7 0 13 6 6"),
    ("ResampledShards", "rank 1 of 2"): ("15 11 9 19 11 21 20 1 18 8 21 9", "4 0 12 10 21 22 21 19 6 6 15 17"),
    ("ResampledShards", "rank 1 of 2, worker 2 of 3"): ("1 4 15 17 8 2 20 16 4 2 9 13", "20 21 4 5 0 12 3 9 11 22 3 9"),
    ("ResampledShards, deterministic", "alone"): ("12 13 1 8 16 15 12 9 15 11 18 6", "15 18 11 3 2 11 4 5 12 3 5 18"),
    ("ResampledShards, deterministic", "rank 1 of 2"): ("20 20 3 9 3 3 4 19 11 11 6 7", "2 8 10 4 13 8 5 7 15 17 5 15"),
    ("ResampledShards, deterministic", "rank 1 of 2, worker 2 of 3"): (
        "19 3 2 21 10 20 2 15 2 11 8 11",
        "10 3 15 19 12 10 2 6 14 20 7 17",
    ),
    ("MultiShardSample", "alone"): ("14 2 6 12 17 14 4 18 3 14 17 0 11 9 1", "4 1 18 12 6 19 3 16 16 21 2 7 0 10 15"),
    ("MultiShardSample", "rank 1 of 2"): ("2 12 14 18 14 0 9", "1 12 19 16 21 7 10"),
    ("MultiShardSample", "rank 1 of 2, worker 2 of 3"): ("2 12 14 18 14 0 9", "1 12 19 16 21 7 10"),
}


def order(items: Iterable[Any]) -> str:
    """The numbers of the first 23 shards that are read."""
    numbers = [Path(item.get("__url__") or item["url"]).stem[2:] for item in islice(items, 23)]
    return " ".join(str(int(number)) for number in numbers)


@pytest.mark.parametrize("name", DATASETS)
@pytest.mark.parametrize("place", PLACES)
def test_the_order_is_as_ever(name: str, place: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    for variable, value in zip(("RANK", "WORLD_SIZE", "WORKER", "NUM_WORKERS"), PLACES[place], strict=True):
        monkeypatch.setenv(variable, str(value))
    for epoch, expected in zip(EPOCHS, ORDERS[name, place], strict=True):
        data: Any = DATASETS[name]()
        data.set_epoch(epoch)
        items = iter(data)
        assert order(items) == expected
        items.close()


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: wds.SimpleShardList(ALL), "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22"),
        (lambda: wds.SimpleShardList(ALL, seed=5), "5 18 21 15 7 14 22 20 6 19 13 16 8 0 9 11 3 17 2 1 12 4 10"),
        (lambda: wds.ResampledShards(ALL, 12, deterministic=True, worker_seed=lambda: 3), "9 6 0 13 17 20 8 7 15 5 10 7"),
        (lambda: wds.MultiShardSample(SPEC), "19 15 1 17 11 3 2 19 0 4 17 9 20 8 10"),
        (
            lambda: wds.shuffle(10, rng=Random(1))({"url": url} for url in LIST),
            "2 10 1 4 11 7 14 15 6 3 13 16 0 17 22 21 5 18 9 19 12 20 8",
        ),
    ],
)
def test_lists_by_themselves_give_the_order_that_they_did(make: Callable[[], Any], expected: str, folder: Path) -> None:
    shards = make()
    if hasattr(shards, "set_epoch"):
        shards.set_epoch(2)
    assert order(shards) == expected
