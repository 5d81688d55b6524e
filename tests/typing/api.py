"""The public API as a user's type checker sees it. Never run: mypy and pyright read it."""

from collections.abc import Awaitable, Callable, Iterable, Iterator
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any, assert_type

import asyncwds as wds
from asyncwds.testing import Fault, FaultServer, make_shard


def urls() -> None:
    wds.WebDataset("a-{0..9}.tar::b.tar")
    wds.WebDataset(Path("a.tar"))
    wds.WebDataset(["a.tar", Path("b.tar")], shardshuffle=True, nodesplitter=wds.split_by_node, seed=1)
    wds.WebDataset("a.tar", nodesplitter=None, workersplitter=None, handler=wds.warn_and_continue)


def settings() -> None:
    wds.WebDataset("a.tar", prefetch=16)
    wds.WebDataset("a.tar", prefetch="auto")
    wds.WebDataset("a.tar", prefetch=wds.Prefetch(connections="auto", buffer_bytes=1 << 20, order="arrival"))
    wds.WebDataset("a.tar", retry=wds.Retry(tries=3), http=wds.Http(headers={"https://host/": {"X-A": "b"}}))


def stage(samples: Iterator[dict[str, int]]) -> Iterator[int]:
    for sample in samples:
        yield sample["cls"]


def settings_of_a_subclass() -> None:
    class Mine(wds.WebDataset):
        def __init__(self, url: str) -> None:
            super().__init__(url, seed=1)

    assert_type(Mine("a.tar").shuffle(10), Mine)


def stages_that_change_no_type(dataset: wds.WebDataset[wds.Sample]) -> None:
    assert_type(wds.WebDataset("a.tar"), wds.WebDataset[wds.Sample])
    assert_type(dataset.shuffle(1000, initial=10), wds.WebDataset[wds.Sample])
    assert_type(dataset.decode("rgb8", wds.handle_extension("x", len)), wds.WebDataset[wds.Sample])
    assert_type(dataset.select(bool).rename(image="jpg;png").map_dict(cls=int), wds.WebDataset[wds.Sample])
    assert_type(dataset.slice(10).repeat(2).with_epoch(100), wds.WebDataset[wds.Sample])
    assert_type(dataset.stats(), wds.Stats)


async def fetched(sample: wds.Sample) -> bytes | None:
    return sample.get("jpg")


def augmented(sample: wds.Sample, *, rng: Random) -> float:
    return rng.random()


async def augmented_later(sample: wds.Sample, rng: Random) -> float:
    return rng.random()


def stages_with_workers(dataset: wds.WebDataset[wds.Sample]) -> None:
    assert_type(dataset.decode("rgb8", workers="auto"), wds.WebDataset[wds.Sample])
    assert_type(dataset.map(label, workers=4), wds.WebDataset[int])
    assert_type(dataset.map(fetched, workers=2), wds.WebDataset[bytes])
    assert_type(dataset.map(augmented), wds.WebDataset[float])
    assert_type(dataset.map(augmented, workers="auto"), wds.WebDataset[float])
    assert_type(dataset.map(augmented_later, workers=8), wds.WebDataset[float])
    assert_type(dataset.map_dict(cls=int, workers=2), wds.WebDataset[wds.Sample])
    assert_type(dataset.to_tuple("jpg", "cls").map_tuple(None, int, workers=2), wds.WebDataset[tuple[Any, ...]])
    dataset.map(label, workers="all")  # type: ignore[call-overload]


def label(sample: wds.Sample) -> int | None:
    return sample.get("cls")


def stages_that_give_other_items(dataset: wds.WebDataset[wds.Sample]) -> None:
    assert_type(dataset.map(label), wds.WebDataset[int])
    assert_type(dataset.map(label).shuffle(10).map(str), wds.WebDataset[str])
    assert_type(dataset.to_tuple("jpg;png", "cls"), wds.WebDataset[tuple[Any, Any]])
    assert_type(dataset.to_tuple("jpg", "cls", "json"), wds.WebDataset[tuple[Any, ...]])
    assert_type(dataset.to_tuple("jpg;png", "cls").map_tuple(None, int), wds.WebDataset[tuple[Any, ...]])
    assert_type(dataset.batched(16, partial=False), wds.WebDataset[Any])
    assert_type(dataset.map(label).batched(16, None), wds.WebDataset[list[int]])
    assert_type(dataset.map(label).listed(16), wds.WebDataset[list[int]])
    assert_type(dataset.listed(16).unlisted(), wds.WebDataset[wds.Sample])
    assert_type(dataset.compose(stage), wds.WebDataset[int])
    assert_type(dataset.compose(stage, wds.shuffle(10)), wds.WebDataset[Any])


async def items() -> None:
    for sample in wds.WebDataset("a.tar"):
        assert_type(sample, wds.Sample)
    async for sample in wds.WebDataset("a.tar").shuffle(10):
        assert_type(sample, wds.Sample)
    for image, _ in wds.WebDataset("a.tar").to_tuple("jpg", "cls"):
        assert_type(image, Any)
    for number in wds.WebDataset("a.tar").map(label):
        assert_type(number, int)


def half(number: int) -> float:
    return number / 2


def wrong_uses(dataset: wds.WebDataset[wds.Sample]) -> None:
    dataset.map(half)  # type: ignore[arg-type]
    dataset.select(half)  # type: ignore[arg-type]
    dataset.to_tuple("jpg", "cls").map(half)  # type: ignore[arg-type]
    dataset.unlisted()  # type: ignore[misc]
    numbers: wds.WebDataset[int] = dataset  # type: ignore[assignment]
    del numbers


@wds.pipelinefilter
def every(samples: Iterator[int], n: int) -> Iterator[int]:
    yield from list(samples)[::n]


def stages_alone(samples: Iterator[dict[str, int]]) -> None:
    numbers = wds.map(lambda sample: sample["cls"])(samples)
    wds.shuffle(100, seed=1)(wds.rsample(0.5)(every(3)(numbers)))
    wds.rename_keys(("image", "*jpg"), label="cls", keep_unselected=True)(samples)
    wds.extract_keys("*.jpg;*.png", ["cls"], handler=wds.ignore_and_continue)(samples)
    wds.batched(16, collation_fn=wds.collate(ragged={"ids": "pad"}, pad_value={"ids": -1}))(samples)
    wds.associate({"a": {"x": 1}})(wds.map_dict(cls=float)(samples))
    wds.RandomMix([wds.RoundRobin([[1], [2]], longest=True), wds.MockDataset(3, 5)], probs=[1, 2], seed=3)


def pipelines(urls: list[str], dataset: wds.WebDataset) -> None:
    shards = wds.SimpleShardList(urls, seed=1)
    assert_type(len(shards), int)
    pipeline = wds.DataPipeline(shards, wds.split_by_node, wds.tarfile_to_samples(prefetch=4), wds.shuffle(10), seed=1)
    assert_type(pipeline.compose(stage).repeat(2).with_epoch(nbatches=3).with_length(3), wds.DataPipeline[int])
    with wds.WebDataset("a.tar", resampled=True, cache_dir="cache", seed=1) as opened:
        assert_type(opened, wds.WebDataset[wds.Sample])
    wds.WebDataset({"datasets": [{"shards": "a.tar", "choose": 1}]})
    wds.MultiLoader(dataset, workers=2)
    with wds.gopen("https://host/a.tar", prefetch=4) as file:
        file.read(10)


async def on_the_callers_loop() -> None:
    async with wds.open_samples("a.tar", prefetch=4, place=wds.WorkerInfo(rank=1, world_size=2)) as samples:
        assert_type(samples, wds.Samples)
        async for sample in samples:
            assert_type(sample, wds.Sample)
            assert_type(sample.origin, wds.Origin)
        assert_type(samples.stats(), wds.Stats)


def writers(samples: Iterable[dict[str, object]]) -> None:
    with wds.ShardWriter("a-%d.tar", 1000, 3e9, post=print, mtime=0, manifest=Path("m.json"), compress="gz") as sink:
        for sample in samples:
            assert_type(sink.write(sample), int)
        assert_type(sink.total, int)
        assert_type(sink.fname, str | None)
        assert_type([record.sha256 for record in sink.records], list[str | None])
    with wds.TarWriter(BytesIO(), encoder={"x": wds.numpy_dumps}, check_names=False) as one, Path("a.tar").open("wb") as file:
        assert_type(one.write({"__key__": "a", "x": 1}), int)
        wds.TarWriter(file, encoder=None)
    assert_type(wds.tenbin.encode_buffer([1]), bytes)


async def writers_on_the_callers_loop(post: Callable[[str], Awaitable[None]]) -> None:
    async with wds.AsyncShardWriter("https://host/a-%d.tar", post=post, http=wds.Http(), retry=wds.Retry()) as sink:
        assert_type(await sink.write({"__key__": "a", "x": b""}), int)
        assert_type(sink.total, int)
        await sink.next_stream()


def errors(error: wds.errors.FetchError) -> None:
    assert_type(error.url, str | None)
    assert_type(error.status, int | None)
    as_the_system_calls_it: OSError = error
    del as_the_system_calls_it


def testing() -> None:
    samples: Iterable[dict[str, str | bytes]] = [{"__key__": "a", "txt": "x"}]
    assert_type(make_shard(samples), bytes)
    with FaultServer({"a.tar": b""}, faults=[Fault(status=503, times=1)]) as server:
        assert_type(server.url("a.tar"), str)


def batches_of_other_processes(dataset: wds.WebDataset[wds.Sample]) -> None:
    assert_type(wds.loader(dataset), wds.Loader[wds.Sample])
    for sample in wds.loader(dataset, num_workers=2, start_method="fork"):
        assert_type(sample, wds.Sample)
    assert_type(dataset.to_device("cuda", ahead=1), wds.WebDataset[wds.Sample])
    wds.to_device("cuda:1")(wds.loader(dataset))
    wds.collate(ragged={"ids": "values"}, pad_to={"labels": 128})
    for number in wds.loader([1, 2], processes=2, prefetch=3, pin_memory=False):
        assert_type(number, int)
