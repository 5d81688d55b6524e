"""Pipelines, datasets and loaders give what WebDataset's give: same shards, same seeds, same items in the same order."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from itertools import islice
from types import ModuleType
from typing import Any

import pytest
import webdataset

import asyncwds
from asyncwds.testing import make_shard

SHARDS, SAMPLES = 7, 6

# WebDataset never closes what it opens, and warns of arguments that it leaves unset.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:WebDataset"),
    pytest.mark.filterwarnings("ignore:set WebDataset"),
    pytest.mark.filterwarnings("ignore:.with_length"),
]


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("shards")
    for shard in range(SHARDS):
        samples = [{"__key__": f"{shard}{n}", "txt": f"text {n}", "cls": str(shard * 10 + n)} for n in range(SAMPLES)]
        (folder / f"s{shard}.tar").write_bytes(make_shard(samples))
    return f"{folder}/s{{0..{SHARDS - 1}}}.tar"


def both(make: Callable[[ModuleType], Any]) -> tuple[list[Any], list[Any]]:
    """What the same code gives with WebDataset and with ours, or the builtin exception that it ends with."""
    return listed(make, webdataset), listed(make, asyncwds)


def listed(make: Callable[[ModuleType], Any], module: ModuleType) -> list[Any]:
    items: list[Any] = []
    try:
        for item in islice(make(module), 300):
            items.append(comparable(item))
    except (ValueError, AssertionError, TypeError, KeyError) as error:
        items.append("ValueError" if isinstance(error, (ValueError, AssertionError)) else type(error).__name__)
    return items


def comparable(item: Any) -> Any:
    if isinstance(item, dict):
        return {key: comparable(value) for key, value in item.items()}
    if isinstance(item, (tuple, list)):
        return type(item)([comparable(value) for value in item])
    return item.tolist() if hasattr(item, "tolist") else item


DATASETS: dict[str, Callable[[ModuleType, str], Any]] = {
    "plain": lambda wds, urls: wds.WebDataset(urls, shardshuffle=False),
    "shardshuffle": lambda wds, urls: wds.WebDataset(urls, shardshuffle=100, seed=3),
    "shardshuffle of few": lambda wds, urls: wds.WebDataset(urls, shardshuffle=3, seed=4),
    "shardshuffle=True": lambda wds, urls: wds.WebDataset(urls, shardshuffle=True, seed=5),
    "detshuffle": lambda wds, urls: wds.WebDataset(urls, shardshuffle=10, detshuffle=True, seed=6),
    "positional": lambda wds, urls: wds.WebDataset(
        urls,
        wds.reraise_exception,
        None,
        False,
        False,
        10,
        -1,
        None,
        None,
        False,
        wds.split_by_node,
        wds.split_by_worker,
        None,
        None,
        True,
        False,
        9,
    ),
    "select_files": lambda wds, urls: wds.WebDataset(urls, shardshuffle=0, select_files=lambda name: name.endswith("txt")),
    "rename_files": lambda wds, urls: wds.WebDataset(urls, shardshuffle=0, rename_files=lambda name: name.replace("cls", "num")),
    "both files": lambda wds, urls: wds.WebDataset(
        urls, shardshuffle=0, select_files=lambda name: name.endswith("num"), rename_files=lambda name: name.replace("cls", "num")
    ),
    "no splitters": lambda wds, urls: wds.WebDataset(urls, shardshuffle=0, nodesplitter=None, workersplitter=None),
    "a splitter of one's own": lambda wds, urls: wds.WebDataset(
        urls, shardshuffle=0, nodesplitter=lambda src: islice(src, 1, None, 2)
    ),
    "shuffle, seeded": lambda wds, urls: wds.WebDataset(urls, shardshuffle=0).shuffle(20, initial=5, seed=7),
    "both shuffles": lambda wds, urls: wds.WebDataset(urls, shardshuffle=5, seed=2).shuffle(15, seed=7),
    "shuffle 0": lambda wds, urls: wds.WebDataset(urls, shardshuffle=0).shuffle(0),
    "decode": lambda wds, urls: wds.WebDataset(urls, shardshuffle=0).decode(),
    "decode to_tuple": lambda wds, urls: wds.WebDataset(urls, shardshuffle=0).decode().to_tuple("txt", "cls"),
    "to_tuple map_tuple": lambda wds, urls: wds.WebDataset(urls, shardshuffle=0).to_tuple("txt cls").map_tuple(bytes.upper, int),
    "batched": lambda wds, urls: wds.WebDataset(urls, shardshuffle=0).decode().to_tuple("txt", "cls").batched(4),
    "batched without the rest": lambda wds, urls: wds.WebDataset(urls, shardshuffle=0).to_tuple("cls").batched(5, partial=False),
    "batched unbatched": lambda wds, urls: wds.WebDataset(urls, shardshuffle=0).decode().to_tuple("cls").batched(4).unbatched(),
    "batched as lists": lambda wds, urls: wds.WebDataset(urls, shardshuffle=0).to_tuple("cls").batched(4, collation_fn=None),
    "listed": lambda wds, urls: wds.WebDataset(urls, shardshuffle=0).to_tuple("cls").listed(4),
    "listed unlisted": lambda wds, urls: wds.WebDataset(urls, shardshuffle=0).to_tuple("cls").listed(4).unlisted(),
    "map": lambda wds, urls: wds.WebDataset(urls, shardshuffle=0).map(lambda sample: sample["cls"]),
    "map drops": lambda wds, urls: wds.WebDataset(urls, shardshuffle=0).map(lambda s: s["cls"] if s["cls"] > b"3" else None),
    "map to dicts": lambda wds, urls: wds.WebDataset(urls, shardshuffle=0).map(lambda sample: {"n": int(sample["cls"])}),
    "map_dict": lambda wds, urls: wds.WebDataset(urls, shardshuffle=0).map_dict(cls=int),
    "map_dict of a field that is not there": lambda wds, urls: wds.WebDataset(urls, shardshuffle=0, empty_check=False).map_dict(
        wds.ignore_and_continue, nope=int
    ),
    "select": lambda wds, urls: wds.WebDataset(urls, shardshuffle=0).select(lambda sample: sample["cls"] < b"2"),
    "rename": lambda wds, urls: wds.WebDataset(urls, shardshuffle=0).rename(label="num;cls"),
    "rename, others dropped": lambda wds, urls: wds.WebDataset(urls, shardshuffle=0).rename(label="cls", keep=False),
    "rename_keys": lambda wds, urls: wds.WebDataset(urls, shardshuffle=0).rename_keys(("label", "cls"), text="txt"),
    "extract_keys": lambda wds, urls: wds.WebDataset(urls, shardshuffle=0).extract_keys("*.txt", "cls"),
    "rsample of all": lambda wds, urls: wds.WebDataset(urls, shardshuffle=0).rsample(1.0),
    "rsample of none": lambda wds, urls: wds.WebDataset(urls, shardshuffle=0).rsample(0.0),
    "slice": lambda wds, urls: wds.WebDataset(urls, shardshuffle=0).slice(5),
    "slice from": lambda wds, urls: wds.WebDataset(urls, shardshuffle=0).slice(2, 20, 3),
    "log_keys": lambda wds, urls: wds.WebDataset(urls, shardshuffle=0).log_keys(),
    "mcached": lambda wds, urls: wds.WebDataset(urls, shardshuffle=0).mcached().repeat(2),
    "compose": lambda wds, urls: wds.WebDataset(urls, shardshuffle=0).compose(wds.shuffle(10, seed=1), wds.to_tuple("cls")),
    "compose a generator": lambda wds, urls: wds.WebDataset(urls, shardshuffle=0).compose(lambda src: (s["cls"] for s in src)),
    "repeat 2": lambda wds, urls: wds.WebDataset(urls, shardshuffle=0).repeat(2),
    "repeat 3, so many": lambda wds, urls: wds.WebDataset(urls, shardshuffle=0).repeat(3, nbatches=100),
    "repeat without end, so many": lambda wds, urls: wds.WebDataset(urls, shardshuffle=0).repeat(nbatches=50),
    "repeat without end": lambda wds, urls: islice(wds.WebDataset(urls, shardshuffle=0).repeat(), 150),
    "with_epoch": lambda wds, urls: wds.WebDataset(urls, shardshuffle=0).with_epoch(10),
    "with_epoch, longer": lambda wds, urls: wds.WebDataset(urls, shardshuffle=0).with_epoch(100),
    "with_epoch nbatches": lambda wds, urls: wds.WebDataset(urls, shardshuffle=0).to_tuple("cls").batched(4).with_epoch(nbatches=7),
    "with_epoch without end": lambda wds, urls: islice(wds.WebDataset(urls, shardshuffle=0).with_epoch(-1), 90),
    "with_epoch, twice": lambda wds, urls: twice(wds.WebDataset(urls, shardshuffle=0).with_epoch(10)),
    "stages behind with_epoch": lambda wds, urls: wds.WebDataset(urls, shardshuffle=0).with_epoch(10).to_tuple("cls"),
    "with_length": lambda wds, urls: wds.WebDataset(urls, shardshuffle=0).with_length(10, silent=True),
    "len with_length": lambda wds, urls: [len(wds.WebDataset(urls, shardshuffle=0).with_length(10))],
    "len without": lambda wds, urls: [len(wds.WebDataset(urls, shardshuffle=0))],
    "a list": lambda wds, urls: wds.WebDataset(asyncwds.expand_urls(urls), shardshuffle=0),
    "a generator": lambda wds, urls: wds.WebDataset((url for url in asyncwds.expand_urls(urls)), shardshuffle=0),
    "::": lambda wds, urls: wds.WebDataset(f"{urls}::{urls}", shardshuffle=0),
    "a number": lambda wds, urls: wds.WebDataset(3, shardshuffle=0),
    "a json spec": lambda wds, urls: wds.WebDataset("spec.json", shardshuffle=0),
    "nothing selected": lambda wds, urls: wds.WebDataset(urls, shardshuffle=0, workersplitter=lambda src: islice(src, 0)),
    "nothing selected, allowed": lambda wds, urls: wds.WebDataset(
        urls, shardshuffle=0, workersplitter=lambda src: islice(src, 0), empty_check=False
    ),
}


def twice(dataset: Any) -> list[Any]:
    return [*dataset, *dataset]


@pytest.mark.parametrize("name", DATASETS)
def test_datasets(name: str, shards: str) -> None:
    theirs, ours = both(lambda wds: DATASETS[name](wds, shards))
    assert ours == theirs


class Stage:
    """A user's stage in the shape that WebDataset wants: made for each module, of its own base."""

    @staticmethod
    def made(wds: ModuleType) -> Any:
        class Every(wds.PipelineStage):  # type: ignore[name-defined,misc]
            def __init__(self, n: int) -> None:
                self.n = n

            def run(self, src: Any) -> Any:
                yield from islice(src, 0, None, self.n)

        return Every(3)


def numbers() -> Any:
    return iter(range(20))


def doubled(source: Any) -> Any:
    for item in source:
        yield 2 * item


PIPELINES: dict[str, Callable[[ModuleType, str], Any]] = {
    "a shard list": lambda wds, urls: wds.DataPipeline(wds.SimpleShardList(urls)),
    "a shard list, shuffled": lambda wds, urls: wds.DataPipeline(wds.SimpleShardList(urls, seed=3)),
    "a shard list and a shuffle": lambda wds, urls: wds.DataPipeline(wds.SimpleShardList(urls), wds.shuffle(100, seed=5)),
    "splitters": lambda wds, urls: wds.DataPipeline(wds.SimpleShardList(urls), wds.split_by_node, wds.split_by_worker),
    "single_node_only": lambda wds, urls: wds.DataPipeline(wds.SimpleShardList(urls), wds.single_node_only),
    "samples": lambda wds, urls: wds.DataPipeline(wds.SimpleShardList(urls), wds.tarfile_to_samples()),
    "tarfile_samples": lambda wds, urls: wds.DataPipeline(wds.SimpleShardList(urls), wds.tarfile_samples),
    "samples of selected files": lambda wds, urls: wds.DataPipeline(
        wds.SimpleShardList(urls), wds.tarfile_to_samples(select_files=lambda name: "cls" in name)
    ),
    "samples of renamed files": lambda wds, urls: wds.DataPipeline(
        wds.SimpleShardList(urls), wds.tarfile_to_samples(rename_files=lambda name: name.replace("cls", "num"))
    ),
    "samples, positional": lambda wds, urls: wds.DataPipeline(
        wds.SimpleShardList(urls), wds.tarfile_to_samples(wds.reraise_exception, lambda name: "cls" in name, str.upper)
    ),
    "the usual": lambda wds, urls: wds.DataPipeline(
        wds.SimpleShardList(urls, seed=2),
        wds.split_by_worker,
        wds.tarfile_to_samples(),
        wds.shuffle(10, seed=3),
        wds.decode(),
        wds.to_tuple("txt", "cls"),
        wds.batched(4),
    ),
    "resampled, deterministic": lambda wds, urls: wds.DataPipeline(
        wds.ResampledShards(urls, 20, seed=3, deterministic=True), wds.tarfile_to_samples(), wds.slice(50)
    ),
    "a list": lambda wds, urls: wds.DataPipeline([[1, 2, 3]]),
    "a list of stages": lambda wds, urls: wds.DataPipeline([wds.SimpleShardList(urls), wds.split_by_worker]),
    "stages that are None": lambda wds, urls: wds.DataPipeline(wds.SimpleShardList(urls), None, wds.split_by_worker, None),
    "a function": lambda wds, urls: wds.DataPipeline(numbers, doubled),
    "a stage that is an object": lambda wds, urls: wds.DataPipeline(numbers, Stage.made(wds)),
    "slice": lambda wds, urls: wds.DataPipeline(numbers, wds.slice(3, 9, 2)),
    "shuffle": lambda wds, urls: wds.DataPipeline(numbers, wds.shuffle(7, initial=3, seed=1)),
    "detshuffle": lambda wds, urls: twice(wds.DataPipeline(numbers, wds.detshuffle(7, 3, seed=1))),
    "map": lambda wds, urls: wds.DataPipeline(numbers, wds.map(lambda n: n * n)),
    "select": lambda wds, urls: wds.DataPipeline(numbers, wds.select(lambda n: n % 3 == 0)),
    "listed": lambda wds, urls: wds.DataPipeline(numbers, wds.batched(6, collation_fn=None)),
    "a curried function": lambda wds, urls: wds.DataPipeline(numbers, wds.pipelinefilter(lambda src, k: (n * k for n in src))(5)),
    "non_empty": lambda wds, urls: wds.DataPipeline(numbers, wds.non_empty),
    "non_empty of nothing": lambda wds, urls: wds.DataPipeline([[]], wds.non_empty),
    "repeat": lambda wds, urls: wds.DataPipeline([[1, 2, 3]]).repeat(2),
    "repeat, so many": lambda wds, urls: wds.DataPipeline([[1, 2, 3]]).repeat(nbatches=8),
    "repeat of nothing": lambda wds, urls: wds.DataPipeline([[]]).repeat(),
    "with_epoch": lambda wds, urls: wds.DataPipeline([[1, 2, 3]]).with_epoch(7),
    "with_epoch, twice": lambda wds, urls: twice(wds.DataPipeline([[1, 2, 3]]).with_epoch(7)),
    "compose": lambda wds, urls: wds.DataPipeline(numbers).compose(doubled, doubled),
    "iterator1": lambda wds, urls: wds.DataPipeline([[1, 2, 3]]).repeat(4).iterator1(),
    "iterator": lambda wds, urls: wds.DataPipeline([[1, 2, 3]]).repeat(4, nbatches=2).iterator(),
    "stage": lambda wds, urls: wds.DataPipeline([[1, 2, 3]], doubled).stage(0),
    "no stage": lambda wds, urls: wds.DataPipeline(numbers, 7),
    "no stage to begin with": lambda wds, urls: wds.DataPipeline(7),
    "a pipeline of a pipeline": lambda wds, urls: wds.DataPipeline(wds.DataPipeline(numbers, doubled), doubled),
    "FluidWrapper": lambda wds, urls: wds.FluidWrapper([1, 2, 3, 4]).map(lambda n: n + 1).slice(3),
    "FluidWrapper of a dataset": lambda wds, urls: wds.FluidWrapper(wds.WebDataset(urls, shardshuffle=0)).to_tuple("cls").slice(9),
    "len of a list of shards": lambda wds, urls: [len(wds.SimpleShardList(urls))],
    "shardspec": lambda wds, urls: wds.shardspec(urls),
}


@pytest.mark.parametrize("name", PIPELINES)
def test_pipelines(name: str, shards: str) -> None:
    theirs, ours = both(lambda wds: PIPELINES[name](wds, shards))
    assert ours == theirs


def appended(wds: ModuleType) -> Any:
    pipeline = wds.DataPipeline(numbers)
    pipeline.append(doubled)
    return pipeline


def test_append_changes_the_pipeline() -> None:
    theirs, ours = both(appended)
    assert ours == theirs == list(range(0, 40, 2))


def test_invoke() -> None:
    pipelines = [wds.DataPipeline(numbers) for wds in (webdataset, asyncwds)]
    for stage, source in [(numbers, []), ([1, 2], []), (doubled, [[1, 2]])]:
        theirs, ours = (list(pipeline.invoke(stage, *source)) for pipeline in pipelines)
        assert ours == theirs


@pytest.mark.parametrize("rank", range(2))
@pytest.mark.parametrize("worker", range(3))
@pytest.mark.parametrize("seed", [1, 2])
def test_places(shards: str, monkeypatch: pytest.MonkeyPatch, rank: int, worker: int, seed: int) -> None:
    """By the variables that both read."""
    for name, number in {"RANK": rank, "WORLD_SIZE": 2, "WORKER": worker, "NUM_WORKERS": 3}.items():
        monkeypatch.setenv(name, str(number))
    theirs, ours = both(lambda wds: wds.WebDataset(shards, shardshuffle=10, seed=seed, nodesplitter=wds.split_by_node))
    assert ours == theirs
    theirs, ours = both(
        lambda wds: wds.DataPipeline(
            wds.SimpleShardList(shards, seed=seed), wds.split_by_node, wds.split_by_worker, wds.tarfile_to_samples()
        )
    )
    assert ours == theirs
    theirs, ours = both(lambda wds: wds.ResampledShards(shards, 30, seed=seed, deterministic=True))
    assert ours == theirs


def test_several_nodes_without_a_splitter_are_refused(shards: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    theirs, ours = both(lambda wds: wds.WebDataset(shards, shardshuffle=0))
    assert ours == theirs == ["ValueError"]


@pytest.mark.needs("torch")
@pytest.mark.parametrize("workers", [0, 2, 3])
@pytest.mark.parametrize("stages", ["none", "rebatched", "with_epoch", "unbatched, with_epoch"])
def test_loaders(shards: str, workers: int, stages: str) -> None:
    def loader(wds: ModuleType) -> Any:
        dataset = wds.WebDataset(shards, shardshuffle=10, seed=1).decode().to_tuple("__key__", "cls").batched(3)
        loaded = wds.WebLoader(dataset, batch_size=None, num_workers=workers)
        match stages:
            case "rebatched":
                return loaded.unbatched().shuffle(10, seed=2).batched(5)
            case "with_epoch":
                return loaded.with_epoch(4)
            case "unbatched, with_epoch":
                return loaded.unbatched().with_epoch(40)  # in a second pass ours has another order
        return loaded

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch, about more workers than cores
        theirs, ours = both(loader)
    assert ours == theirs


def numbered(samples: Any) -> Any:
    return ({**sample, "number": number} for number, sample in enumerate(samples))


# As public training scripts do it.
CHANGES: dict[str, Callable[[Any, ModuleType], Any]] = {
    "pop": lambda dataset, _: dataset.pipeline.pop(),
    "append": lambda dataset, _: dataset.pipeline.append(numbered),
    "extend": lambda dataset, module: dataset.pipeline.extend([numbered, module.select(lambda sample: sample["number"] % 2)]),
    "insert": lambda dataset, _: dataset.pipeline.insert(len(dataset.pipeline) - 1, numbered),
    "replace": lambda dataset, _: dataset.pipeline.__setitem__(-1, numbered),
    "slice": lambda dataset, _: dataset.pipeline.__setitem__(slice(-2, None), [numbered]),
    "delete": lambda dataset, _: dataset.pipeline.__delitem__(-1),
    "another": lambda dataset, _: setattr(dataset, "pipeline", dataset.pipeline[:-1]),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
@pytest.mark.parametrize("fluid", [False, True])
def test_a_list_of_stages_that_is_changed(change, fluid, shards):
    def make(module: ModuleType) -> Any:
        last = [module.decode(), module.to_tuple("__key__", "cls")]
        if fluid:
            dataset = module.WebDataset(shards, shardshuffle=False).compose(*last)
        else:
            dataset = module.DataPipeline(module.SimpleShardList(shards), module.tarfile_to_samples(), *last)
        assert isinstance(dataset.pipeline, list)
        untouched = dataset.compose()
        before = len(list(dataset))
        change(dataset, module)
        assert len(list(untouched)) == before
        return dataset

    theirs, ours = both(make)
    ours = [{k: v for k, v in item.items() if k != "__local_path__"} if isinstance(item, dict) else item for item in ours]
    theirs = [{k: v for k, v in item.items() if k != "__local_path__"} if isinstance(item, dict) else item for item in theirs]
    assert theirs == ours
