"""Subclasses of WebDataset's classes, as people have written them: they give the same with both."""

import random
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import webdataset
from braceexpand import braceexpand

import asyncwds
from asyncwds import Cache
from asyncwds.errors import SpecError
from asyncwds.testing import leaks

pytestmark = [
    pytest.mark.needs("torch"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # the published one closes no shard
]


def own_list(library: Any) -> Any:
    """Shards in an order of its own, another one in each epoch, which splitters and a shuffle come behind."""

    class Reordered(library.shardlists.SimpleShardList):  # type: ignore[misc, name-defined]
        def __init__(self, urls: Any, seed: int) -> None:
            super().__init__(urls, seed)
            self.seed, self.epoch = seed, -1

        def __iter__(self) -> Iterator[dict[str, str]]:
            self.epoch += 1
            urls = self.urls.copy()
            random.Random(self.seed + self.epoch).shuffle(urls)
            for url in urls:
                yield {"url": url}

    class Dataset(library.WebDataset):  # type: ignore[misc, name-defined]
        def __init__(self, urls: Any, **options: Any) -> None:
            self.order_seed = 5
            super().__init__(urls, **options)

        def create_url_iterator(self, args: SimpleNamespace) -> Any:
            if args.urls:
                self.append(Reordered(args.urls, seed=self.order_seed))
                return None
            return super().create_url_iterator(args)

    return Dataset


def more_urls(library: Any) -> Any:
    """The usual list, of other urls."""

    class Dataset(library.WebDataset):  # type: ignore[misc, name-defined]
        def create_url_iterator(self, args: SimpleNamespace) -> None:
            args.urls = [*args.urls, args.urls[0]]
            super().create_url_iterator(args)

    return Dataset


def bounded(library: Any) -> Any:
    """Changes itself in its constructor, as in a script, and drops what the methods return."""

    class Dataset(library.WebDataset):  # type: ignore[misc, name-defined]
        def __init__(self, urls: Any, **options: Any) -> None:
            super().__init__(urls, **options)
            self.append(library.filters.select(lambda sample: sample["cls"] != b"1"))
            self.repeat()
            self.with_epoch(17)

    return Dataset


@pytest.fixture
def urls(shards: str) -> list[str]:
    return list(braceexpand(shards))


def mixed(library: Any) -> Any:
    """A mix in a dataset that is empty otherwise, as HMR2.0 and those that follow it have it."""

    class Mixed(library.WebDataset):  # type: ignore[misc, name-defined]
        def __init__(self, urls: list[str], **options: Any) -> None:
            super(library.WebDataset, self).__init__()
            halves = [library.WebDataset(half, **options) for half in (urls[:3], urls[3:])]
            self.append(library.RoundRobin(halves))

    return Mixed


def filtered(library: Any) -> Any:
    class Filtered(library.WebDataset):  # type: ignore[misc, name-defined]
        def __iter__(self) -> Iterator[Any]:
            for sample in super().__iter__():
                if sample["cls"] != b"1":
                    yield sample

    return Filtered


def by_iterator(library: Any) -> Any:
    class Filtered(library.WebDataset):  # type: ignore[misc, name-defined]
        def iterator(self) -> Iterator[Any]:
            for _ in range(self.repetitions):
                for sample in self.iterator1():
                    if sample["cls"] != b"1":
                        yield sample

    return Filtered


def by_iterator1(library: Any) -> Any:
    class Twice(library.WebDataset):  # type: ignore[misc, name-defined]
        def iterator1(self) -> Iterator[Any]:
            for sample in super().iterator1():
                yield sample
                yield sample

    return Twice


def for_ever(library: Any) -> Any:
    class ForEver(library.WebDataset):  # type: ignore[misc, name-defined]
        def __iter__(self) -> Iterator[Any]:
            items = self.iterator()
            for _ in range(2):
                yield from items
                items = self.iterator()

    return ForEver


def repeated(library: Any) -> Any:
    """It sets what webdataset's has as plain attributes."""

    class Repeated(library.WebDataset):  # type: ignore[misc, name-defined]
        def __init__(self, urls: list[str], **options: Any) -> None:
            self.seed = 5
            super().__init__(urls, seed=7, **options)
            self.repetitions, self.nsamples = 2, 50

        def __iter__(self) -> Iterator[Any]:
            for _ in range(self.repetitions):
                yield from super().__iter__()

    return Repeated


def keys(dataset: Any) -> list[str]:
    return [sample["__key__"] for sample in dataset]


@pytest.mark.parametrize("options", [{"shardshuffle": False}, {"shardshuffle": False, "workersplitter": None}], ids=str)
@pytest.mark.parametrize("kind", [own_list, more_urls, bounded, mixed, filtered, by_iterator, by_iterator1, for_ever, repeated])
def test_a_dataset(urls: list[str], kind: Callable[[Any], Any], options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKER", "1")
    monkeypatch.setenv("NUM_WORKERS", "2")
    found = []
    for library in (webdataset, asyncwds):
        dataset = kind(library)(urls, **options)
        found.append([keys(dataset) for _ in range(3)])
    assert found[0] == found[1]
    assert len(found[1][0]) > 0


CHANGES: list[Callable[[Any], Any]] = [
    lambda ds: ds,
    lambda ds: ds.repeat(2).map(lambda sample: sample),
    lambda ds: ds.with_epoch(50),
]


@pytest.mark.parametrize("kind", [filtered, by_iterator, by_iterator1, for_ever])
@pytest.mark.parametrize("change", CHANGES, ids=["", "repeat", "with_epoch"])
async def test_iterators_of_its_own(urls: list[str], kind: Callable[[Any], Any], change: Callable[[Any], Any]) -> None:
    expected, dataset = (change(kind(library)(urls[:2], shardshuffle=False)) for library in (webdataset, asyncwds))
    if kind is for_ever and expected.nsamples == 50:
        dataset, expected = (islice(dataset, 60), islice(expected, 60))  # it asks for no bound
        assert keys(dataset) == keys(expected)
        return
    assert keys(dataset) == keys(expected)
    async with leaks():
        assert [sample["__key__"] async for sample in dataset] == keys(expected)


async def test_one_that_is_left_early(urls: list[str]) -> None:
    async with leaks():
        iterator = aiter(filtered(asyncwds)(urls).repeat())
        assert (await anext(iterator))["__key__"] == "k000"
        await iterator.aclose()
    with leaks():
        assert next(iter(by_iterator1(asyncwds)(urls).repeat()))["__key__"] == "k000"


def test_what_a_pipeline_ignores_it_says() -> None:
    class Mixed(asyncwds.WebDataset):
        def __init__(self) -> None:
            super(asyncwds.WebDataset, self).__init__(nodesplitter=asyncwds.split_by_node)
            self.append([1, 2])

    with pytest.warns(UserWarning, match="ignores nodesplitter"):
        assert list(Mixed()) == [1, 2]


def test_shards_of_ones_own_list_are_shuffled_by_epoch(urls: list[str]) -> None:
    dataset = more_urls(asyncwds)(urls, shardshuffle=100, seed=1)
    epochs = [keys(dataset) for _ in range(3)]
    assert len(set(map(tuple, epochs))) == 3
    assert [sorted(epoch) for epoch in epochs] == [sorted(epochs[0])] * 3
    dataset.set_epoch(1)
    assert keys(dataset) == epochs[1]


def test_a_seed_that_is_set(urls: list[str]) -> None:
    class Early(asyncwds.WebDataset):
        def __init__(self, urls: list[str]) -> None:
            self.seed = 3
            super().__init__(urls, shardshuffle=100)

    given = asyncwds.WebDataset(urls, shardshuffle=100, seed=3)
    late = asyncwds.WebDataset(urls, shardshuffle=100, seed=4)
    late.seed = 3
    assert keys(given.shuffle(9)) == keys(Early(urls).shuffle(9)) == keys(late.shuffle(9)) != keys(asyncwds.WebDataset(urls))
    with pytest.raises(SpecError, match="seed must be a whole number, not 'x'"):
        late.seed = "x"


def test_where_the_cache_is(urls: list[str], tmp_path: Path) -> None:
    class Local(asyncwds.WebDataset):
        def update_cache_info(self, args: SimpleNamespace) -> None:
            super().update_cache_info(args)
            args.cache_dir = args.cache_dir or tmp_path
            args.cache_size = 1e9

    assert Local(urls).stage(0).cache == Cache(tmp_path, 10**9)
    assert Local(urls, cache_dir="elsewhere").stage(0).cache == Cache("elsewhere", 10**9)


def test_a_subclass_may_do_without_the_cache_of_the_environment(
    urls: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Uncached(asyncwds.WebDataset):
        def update_cache_info(self, args: SimpleNamespace) -> None:
            args.cache_dir = None

    monkeypatch.setenv("WDS_CACHE", str(tmp_path))
    assert asyncwds.WebDataset(urls).stage(0).cache == Cache(str(tmp_path))
    assert Uncached(urls).stage(0).cache is None


@pytest.mark.parametrize("make", ["stage", "detshuffle", "list", "resampled list", "mix"])
def test_what_a_subclass_does_itself_is_done(make: str) -> None:
    """Also where the class itself would do something else at each place and in each epoch."""

    class Own(asyncwds.PipelineStage):
        def run(self, src: Any) -> Any:
            return (item + 1 for item in src)

    class Order(asyncwds.detshuffle):
        def run(self, src: Any) -> Any:
            return (item + 1 for item in src)

    class Shards(asyncwds.SimpleShardList):
        def __iter__(self) -> Any:
            return iter([1, 2, 3])

    class Drawn(asyncwds.ResampledShards):
        def __iter__(self) -> Any:
            return iter([1, 2, 3])

    class Mix(asyncwds.RandomMix):
        def __iter__(self) -> Any:
            return iter([1, 2, 3])

    pipelines = {
        "stage": ([0, 1, 2], Own()),
        "detshuffle": ([0, 1, 2], Order()),
        "list": (Shards(["a.tar"]),),
        "resampled list": (Drawn(["a.tar"]),),
        "mix": (Mix([[5]]),),
    }
    head, *stages = pipelines[make]
    pipeline = asyncwds.DataPipeline([head] if isinstance(head, list) else head, *stages)
    assert [list(pipeline) for _ in range(2)] == [[1, 2, 3]] * 2
