"""The cut of an epoch's samples: as many at each place, none twice, none left out but what doesn't divide."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncwds import WorkerInfo
from asyncwds.errors import SpecError
from asyncwds.shards import SampleSplit

Samples = list[tuple[int, int, bool | None]]
"""Shard, ordinal, and whether it is padding."""

counts_of_shards = st.lists(st.integers(0, 40), min_size=1, max_size=30).filter(any)


def samples_at(counts: list[int], uneven: str, place: WorkerInfo, epoch: int = 0, shuffle: int = 0) -> Samples:
    urls = [f"{index}.tar" for index in range(len(counts))]
    split = SampleSplit(counts, uneven)  # type: ignore[arg-type] # one of three words
    found: Samples = []
    for shard in split.plan(urls, seed=5, epoch=epoch, place=place, shardshuffle=shuffle):
        assert shard.url == urls[shard.index]
        assert shard.limit is not None
        assert shard.limit.to_end == (shard.limit.stop == counts[shard.index])
        first = shard.begin.wanted if shard.begin else 0
        assert first < shard.limit.stop <= counts[shard.index]
        found += [(shard.index, ordinal, shard.limit.padding) for ordinal in range(first, shard.limit.stop)]
    assert len(found) == split.share(place)
    assert len(found) == len({sample[:2] for sample in found})
    return found


def all_of(counts: list[int]) -> Counter[tuple[int, int]]:
    return Counter((shard, ordinal) for shard, count in enumerate(counts) for ordinal in range(count))


@given(counts_of_shards, st.integers(1, 9), st.integers(1, 4), st.integers(0, 40), st.integers(0, 5))
def test_pad(counts: list[int], world: int, workers: int, shuffle: int, epoch: int) -> None:
    places = [WorkerInfo(rank, world, worker, workers) for rank in range(world) for worker in range(workers)]
    read = [samples_at(counts, "pad", place, epoch, shuffle) for place in places]
    assert {len(part) for part in read} == {-(-sum(counts) // len(places))}
    own = [sample[:2] for part in read for sample in part if not sample[2]]
    assert Counter(own) == all_of(counts)
    assert sum(map(len, read)) - len(own) < len(places)


@given(counts_of_shards, st.integers(1, 9), st.integers(1, 4), st.integers(0, 40), st.integers(0, 5))
def test_drop(counts: list[int], world: int, workers: int, shuffle: int, epoch: int) -> None:
    places = [WorkerInfo(rank, world, worker, workers) for rank in range(world) for worker in range(workers)]
    if sum(counts) < len(places):
        with pytest.raises(SpecError, match="too few"):
            samples_at(counts, "drop", places[0])
        return
    read = [samples_at(counts, "drop", place, epoch, shuffle) for place in places]
    assert {len(part) for part in read} == {sum(counts) // len(places)}
    found = Counter(sample[:2] for part in read for sample in part)
    assert found <= all_of(counts)
    assert all_of(counts).total() - found.total() < len(places)
    assert {sample[2] for part in read for sample in part} == {None}


@given(counts_of_shards, st.integers(1, 9), st.integers(1, 4))
def test_error(counts: list[int], world: int, workers: int) -> None:
    place = WorkerInfo(world - 1, world, workers - 1, workers)
    if sum(counts) % (world * workers):
        with pytest.raises(SpecError, match=f"^it is impossible to share out {sum(counts)} samples? in {len(counts)} shard"):
            samples_at(counts, "error", place)
    else:
        assert samples_at(counts, "error", place) == samples_at(counts, "drop", place)


def test_an_epoch_of_shuffled_shards_drops_others_than_the_one_before() -> None:
    counts = [7, 5, 6, 4, 3, 9, 8]
    places = [WorkerInfo(rank, 5) for rank in range(5)]

    def dropped(epoch: int) -> set[tuple[int, int]]:
        read = {sample[:2] for place in places for sample in samples_at(counts, "drop", place, epoch, shuffle=10)}
        return set(all_of(counts)) - read

    assert [len(dropped(epoch)) for epoch in range(4)] == [2] * 4
    assert len(set.union(*map(dropped, range(4)))) > 2


def test_messages_name_the_numbers() -> None:
    with pytest.raises(SpecError) as failed:
        samples_at([5, 6], "error", WorkerInfo(0, 2, 1, 3))
    assert failed.value.message == (
        "it is impossible to share out 11 samples in 2 shards among 2 ranks of 3 workers evenly: each would get 1, and 5 would be "
        "left; uneven='drop' leaves these out, uneven='pad' gives 1 others a second time, and marks them"
    )
    with pytest.raises(SpecError, match=r"too few to share out 3 samples in 1 shard among 4 ranks: uneven='pad'"):
        samples_at([3], "drop", WorkerInfo(0, 4))
