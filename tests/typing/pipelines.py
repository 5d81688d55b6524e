"""What a user's type checker knows of the items of loaders, mixes and pipelines. Never run: mypy and pyright read it."""

from collections.abc import Iterator
from typing import Any, assert_type

import asyncwds as wds


def label(sample: wds.Sample) -> int:
    return int(sample["cls"])


def labels(samples: Iterator[wds.Sample]) -> Iterator[int]:
    for sample in samples:
        yield label(sample)


def halves(numbers: Iterator[int]) -> Iterator[float]:
    for number in numbers:
        yield number / 2


def half(number: int) -> float:
    return number / 2


def length(text: str) -> int:
    return len(text)


class Mine(wds.WebDataset[wds.Sample]):
    def __init__(self, url: str) -> None:
        super().__init__(url, seed=1)


class Bare(wds.WebDataset):
    pass


async def a_subclass() -> None:
    assert_type(Mine("a.tar").shuffle(10).select(label), Mine)
    assert_type(Mine("a.tar").map(label), wds.WebDataset[int])  # no longer of its items
    assert_type(Mine("a.tar").to_tuple("jpg", "cls"), wds.WebDataset[tuple[Any, Any]])
    for sample in Mine("a.tar"):
        assert_type(sample, wds.Sample)
    async for sample in Mine("a.tar"):
        assert_type(sample, wds.Sample)
    assert_type(Bare("a.tar").decode(), Bare)
    Mine("a.tar").map(half)  # type: ignore[arg-type]


async def loaders(numbers: wds.WebDataset[int], anything: wds.WebDataset) -> None:
    loader = wds.WebLoader(numbers, batch_size=None, num_workers=4)
    assert_type(loader, wds.WebLoader[int])
    assert_type(loader.shuffle(10).select(bool).with_epoch(100), wds.WebLoader[int])
    assert_type(loader.map(half), wds.WebLoader[float])
    assert_type(loader.map(half).listed(16), wds.WebLoader[list[float]])
    assert_type(loader.listed(16).unlisted(), wds.WebLoader[int])
    assert_type(loader.batched(16), wds.WebLoader[Any])
    assert_type(loader.compose(halves), wds.WebLoader[float])
    assert_type(wds.WebLoader(numbers, 16, collate_fn=list), wds.WebLoader[list[int]])
    assert_type(wds.WebLoader(numbers, None, collate_fn=str), wds.WebLoader[str])
    assert_type(wds.WebLoader(numbers, 16), wds.WebLoader[Any])  # a batch as torch makes it
    assert_type(wds.WebLoader(anything, batch_size=None), wds.WebLoader[Any])
    for number in loader:
        assert_type(number, int)
    async for number in loader.slice(3):
        assert_type(number, int)
    loader.map(length)  # type: ignore[arg-type]
    loader.select(length)  # type: ignore[arg-type]
    texts: wds.WebLoader[str] = loader.map(half)  # type: ignore[arg-type]
    del texts


async def wrappers(numbers: wds.WebDataset[int]) -> None:
    assert_type(wds.FluidWrapper(numbers), wds.FluidWrapper[int])
    assert_type(wds.FluidWrapper(["a", "b"]).map(length).shuffle(10), wds.FluidWrapper[int])
    assert_type(wds.FluidWrapper(wds.RoundRobin([numbers, numbers])).listed(2), wds.FluidWrapper[list[int]])
    async for number in wds.FluidWrapper(numbers).map(half):
        assert_type(number, float)
    wds.FluidWrapper(numbers).map(length)  # type: ignore[arg-type]


def mixes(numbers: wds.WebDataset[int], texts: wds.WebDataset[str], anything: wds.WebDataset) -> None:
    assert_type(wds.RandomMix([numbers, numbers], probs=[1, 2]), wds.RandomMix[int])
    assert_type(wds.RoundRobin([numbers, numbers], longest=True), wds.RoundRobin[int])
    assert_type(wds.RandomMix([anything]), wds.RandomMix[Any])
    # mypy takes a list of unlike data sets for one of objects, unless it is told.
    of_both: wds.RandomMix[int | str] = wds.RandomMix([numbers, texts])
    assert_type(wds.RoundRobin[int | str]([numbers, texts]), wds.RoundRobin[int | str])
    for item in of_both:
        assert_type(item, int | str)
    of_numbers: wds.RandomMix[int] = wds.RandomMix([numbers, texts])  # type: ignore[list-item]
    wds.RoundRobin(numbers)  # type: ignore[arg-type]
    del of_numbers


async def pipelines(samples: wds.WebDataset[wds.Sample], urls: list[str]) -> None:
    assert_type(wds.DataPipeline(samples), wds.DataPipeline[wds.Sample])
    assert_type(wds.DataPipeline(lambda: iter("abc")), wds.DataPipeline[str])
    assert_type(wds.DataPipeline(samples, labels), wds.DataPipeline[int])
    assert_type(wds.DataPipeline(samples, labels, halves, seed=1), wds.DataPipeline[float])
    assert_type(wds.DataPipeline(samples, wds.shuffle(10), labels, halves), wds.DataPipeline[float])
    assert_type(wds.DataPipeline(samples, labels).compose(halves), wds.DataPipeline[float])
    assert_type(wds.DataPipeline(samples, labels).with_epoch(10), wds.DataPipeline[int])
    shards = wds.SimpleShardList(urls)
    assert_type(wds.DataPipeline(shards, wds.tarfile_to_samples(), wds.select(bool)), wds.DataPipeline[wds.Sample])
    # More stages, lists of them and such as do not fit together: nothing is known.
    assert_type(wds.DataPipeline(samples, wds.shuffle(1), wds.shuffle(1), wds.shuffle(1), labels), wds.DataPipeline[Any])
    assert_type(wds.DataPipeline([samples, labels]), wds.DataPipeline[Any])
    assert_type(wds.DataPipeline(samples, halves), wds.DataPipeline[Any])
    async for number in wds.DataPipeline(samples, labels):
        assert_type(number, int)
    for number in wds.DataPipeline(samples, labels):
        assert_type(number, int)
    texts: wds.DataPipeline[str] = wds.DataPipeline(samples, labels).repeat(2)  # type: ignore[assignment]
    del texts


def datasets_of_other_length(numbers: wds.WebDataset[int]) -> None:
    assert_type(wds.with_epoch(numbers, 10), wds.with_epoch[int])
    assert_type(wds.with_length(wds.MockDataset("a", 3), 3), wds.with_length[str])
    assert_type(wds.repeatedly(numbers, 2), Iterator[int])
    wds.repeatedly(numbers, batchsize=length)  # type: ignore[arg-type]


class Own(wds.DataPipeline, wds.FluidInterface):
    """As people write them for WebDataset, without types."""


def own() -> None:
    assert_type(Own([1]).shuffle(10).map(label), Own)
