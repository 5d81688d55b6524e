from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import count, islice
from random import Random
from typing import Any
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncwds import WorkerInfo
from asyncwds.errors import SpecError
from asyncwds.shards import Shard, expand
from asyncwds.shards.plan import Group, Resampled, Sampled, plan, shuffle_items, single_node_only, split_by_node, split_by_worker

URLS = [f"s-{index:03}.tar" for index in range(23)]


def indices(urls: list[str] = URLS, place: WorkerInfo | None = None, epoch: int = 0, **arguments: Any) -> list[int]:
    defaults: dict[str, Any] = {"seed": 0, "nodesplitter": split_by_node, "workersplitter": split_by_worker, "shardshuffle": 0}
    shards = list(plan(urls, epoch=epoch, place=place or WorkerInfo(), **defaults | arguments))
    assert all(shard == Shard(urls[shard.index], shard.index) for shard in shards)
    return [shard.index for shard in shards]


@given(st.integers(0, 60), st.integers(1, 5), st.integers(1, 4), st.integers(0, 50), st.integers(0, 9))
def test_the_places_share_the_shards(shards: int, world: int, workers: int, shuffle: int, epoch: int) -> None:
    places = [WorkerInfo(rank, world, worker, workers) for rank in range(world) for worker in range(workers)]
    urls = [f"{index}.tar" for index in range(shards)]
    read = [indices(urls, place, epoch, shardshuffle=shuffle) for place in places]
    assert Counter(index for part in read for index in part) == Counter(range(shards))
    assert max(map(len, read)) - min(map(len, read)) <= 2


ALONE, SPLIT = WorkerInfo(), WorkerInfo(1, 2, 1, 3)
GROUPS = Sampled((Group(600, choose=200), Group(100, resample=50), Group(300)))


@pytest.mark.parametrize(
    ("arguments", "count", "digest"),
    [
        ({"place": ALONE}, 1000, 1673084071),
        ({}, 167, 268657500),
        ({"place": ALONE, "shardshuffle": 1000}, 1000, 2716440972),
        ({"shardshuffle": 10, "epoch": 0}, 167, 3107416848),
        ({"place": ALONE, "seed": 2**40}, 1000, 874375072),
        ({"place": ALONE, "draw": Resampled()}, 1000, 3008430276),
        ({"draw": Resampled()}, 1000, 4043971251),
        ({"place": ALONE, "draw": GROUPS}, 550, 1924874861),
        ({"draw": GROUPS}, 92, 2936406873),
        ({"workersplitter": lambda shards: islice(shards, 0, None, 2)}, 250, 3451913327),
    ],
)
@pytest.mark.parametrize("urls", [expand("s-{0000..0999}.tar"), [f"s-{number:04}.tar" for number in range(1000)]])
def test_orders_are_as_recorded(urls: Any, arguments: dict[str, Any], count: int, digest: int) -> None:
    """With lists of urls, before patterns were kept as they are: a seed stands for one order, in all releases."""
    defaults = {"place": SPLIT, "seed": 3, "epoch": 2, "shardshuffle": 100}
    defaults |= {"nodesplitter": split_by_node, "workersplitter": split_by_worker}
    shards = list(islice(plan(urls, **defaults | arguments), 1000))
    assert all(shard.url == urls[shard.index] for shard in shards)
    assert (len(shards), crc32(" ".join(str(shard.index) for shard in shards).encode())) == (count, digest)


def test_the_node_is_split_before_the_worker() -> None:
    assert indices(place=WorkerInfo(1, 2, 2, 3)) == [5, 11, 17]


def test_a_worker_keeps_its_shards_in_another_order() -> None:
    epochs = [indices(place=WorkerInfo(0, 2, 1, 2), epoch=epoch, shardshuffle=10) for epoch in range(4)]
    assert {frozenset(epoch) for epoch in epochs} == {frozenset(epochs[0])}
    assert len({tuple(epoch) for epoch in epochs}) == 4
    assert indices(place=WorkerInfo(0, 2, 1, 2), epoch=2, shardshuffle=10) == epochs[2]


def test_the_order_depends_on_the_seed() -> None:
    assert indices(shardshuffle=100, seed=1) != indices(shardshuffle=100, seed=2)
    assert indices(shardshuffle=100, seed=1, epoch=1) == indices(shardshuffle=100, seed=2, epoch=0)


@pytest.mark.parametrize("shardshuffle", [-1, 0, 1])
def test_without_a_buffer_the_order_is_kept(shardshuffle: int) -> None:
    assert indices(shardshuffle=shardshuffle) == list(range(23))


def test_a_plan_is_lazy() -> None:
    assert list(islice(shuffle_items(count(), 10, 5, Random(0)), 3))
    seen: list[Any] = []

    def spying(shards: Iterable[Any]) -> Iterator[Any]:
        for shard in shards:
            seen.append(shard)
            yield shard

    shards = plan(URLS, seed=0, epoch=0, place=WorkerInfo(), nodesplitter=spying, workersplitter=None, shardshuffle=0)
    next(shards)
    assert len(seen) == 1


def test_one_url_twice_is_two_shards() -> None:
    assert indices(["a", "b", "a"]) == [0, 1, 2]


def test_single_node_only_refuses_more_nodes_at_once() -> None:
    with pytest.raises(SpecError, match="split_by_node"):
        plan(
            URLS,
            seed=0,
            epoch=0,
            place=WorkerInfo(0, 2),
            nodesplitter=single_node_only,
            workersplitter=split_by_worker,
            shardshuffle=0,
        )
    assert indices(nodesplitter=single_node_only) == list(range(23))


def test_without_splitters_each_place_reads_all() -> None:
    assert indices(place=WorkerInfo(1, 2, 1, 2), nodesplitter=None, workersplitter=None) == list(range(23))


def test_a_custom_splitter_gets_what_webdataset_gives_it() -> None:
    given_urls: list[str] = []

    def odd_ones(src: Iterator[dict[str, str]], group: object = None) -> Iterator[dict[str, str]]:
        assert next(src)["url"] == URLS[0]
        for item in islice(src, 0, None, 2):
            given_urls.append(item["url"])
            yield item

    assert indices(nodesplitter=odd_ones) == list(range(1, 23, 2))
    assert given_urls == URLS[1::2]


def test_a_custom_splitter_may_take_the_place() -> None:
    def reversed_split(src: Iterable[Any], *, place: WorkerInfo) -> Iterable[Any]:
        return list(src)[:: -place.world_size]

    assert indices(place=WorkerInfo(0, 10), nodesplitter=reversed_split) == [22, 12, 2]
    assert indices(place=WorkerInfo(0, 10), nodesplitter=partial(split_by_node, place=WorkerInfo(3, 8))) == [3, 11, 19]


@pytest.mark.parametrize(
    "splitter",
    [
        lambda src: src,
        list,
        lambda src: [item["url"] for item in src],
        lambda src: ({"url": item["url"]} for item in src),
    ],
)
def test_a_custom_splitter_may_yield_urls(splitter: Any) -> None:
    assert indices(nodesplitter=splitter) == list(range(23))


def test_a_splitter_may_move_a_shard_to_a_mirror() -> None:
    shards = plan(
        URLS,
        seed=0,
        epoch=0,
        place=WorkerInfo(),
        nodesplitter=lambda src: ({**item, "url": "mirror/" + item["url"]} for item in src),
        workersplitter=None,
        shardshuffle=0,
    )
    assert list(shards)[5] == Shard("mirror/s-005.tar", 5)


@pytest.mark.parametrize(
    "item", ["other.tar", 3, None, {"url": "other.tar"}, {"index": 3}, ["s-000.tar"], {"url": "s-000.tar", "index": "0"}]
)
def test_a_splitter_that_yields_anything_else_is_an_error(item: Any) -> None:
    with pytest.raises(SpecError, match="splitter"):
        indices(nodesplitter=lambda _src: [item])


@given(st.lists(st.integers(), max_size=50), st.integers(-1, 60), st.integers(-1, 60), st.integers())
def test_shuffling_loses_nothing(items: list[int], size: int, initial: int, seed: int) -> None:
    assert Counter(shuffle_items(items, size, initial, Random(seed))) == Counter(items)
    assert list(shuffle_items(items, size, initial, Random(seed))) == list(shuffle_items(iter(items), size, initial, Random(seed)))


@given(st.integers(2, 20), st.integers(0, 30))
def test_the_buffer_is_bounded(size: int, initial: int) -> None:
    source = iter(range(100))
    for number, _ in enumerate(shuffle_items(source, size, initial, Random(0))):
        buffered = 100 - source.__length_hint__() - number
        assert min(initial, size, 100 - number) <= buffered <= size
