from __future__ import annotations

import asyncio
import gc
import pickle
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import pytest

import asyncwds as wds
from asyncwds import WorkerInfo
from asyncwds.errors import SpecError, TruncatedTarError
from asyncwds.pipeline import RunContext, random_samples, run_alone
from asyncwds.storage import MemoryFetcher
from asyncwds.testing import leaks, make_shard

A, B, C = ([f"{name}{number}" for number in range(length)] for name, length in (("a", 30), ("b", 20), ("c", 5)))


class Source:
    """Counts the iterators over it that are open; fails at an item if told so."""

    def __init__(self, length: int = 5, fails_at: int = -1) -> None:
        self.length = length
        self.fails_at = fails_at
        self.open = 0
        self.epochs: list[int] = []

    def set_epoch(self, epoch: int) -> None:
        self.epochs.append(epoch)

    def __iter__(self) -> Iterator[int]:
        self.open += 1
        return Items(self)

    def __repr__(self) -> str:
        return f"Source({self.length})\nand more"


class Items(Iterator[int]):
    def __init__(self, source: Source) -> None:
        self.source = source
        self.numbers = iter(range(source.length))

    def __next__(self) -> int:
        number = next(self.numbers)
        if number == self.source.fails_at:
            raise ValueError("no")
        return number

    def close(self) -> None:
        self.source.open -= 1


MIXES = [wds.RoundRobin, wds.RandomMix]


# -- what comes out


def test_in_turn() -> None:
    assert list(wds.RoundRobin([A, C])) == [item for pair in zip(A, C, strict=False) for item in pair] + ["a5"]
    assert sorted(wds.RoundRobin([A, B, C], longest=True)) == sorted(A + B + C)


def test_shares_are_the_probabilities() -> None:
    counts = Counter(islice(wds.RandomMix([[0] * 10_000, [1] * 10_000, [2] * 10_000], [6, 3, 1], seed=1), 5000))
    assert [round(counts[member] / 5000, 1) for member in range(3)] == [0.6, 0.3, 0.1]


def test_the_longest_mix_has_everything_once() -> None:
    assert sorted(wds.RandomMix([A, B, C], [1, 5, 5], longest=True)) == sorted(A + B + C)
    assert sorted(wds.RandomMix([A, B, C], [1, 0, 5], longest=True)) == sorted(A + C)


def test_the_shortest_mix_ends_with_a_member_that_has_ended() -> None:
    mixed = list(wds.RandomMix([A, B, C], seed=1))
    assert any(set(member) <= set(mixed) for member in (A, B, C))
    assert [item for item in mixed if item[0] == "a"] == A[: sum(item[0] == "a" for item in mixed)]


def test_the_sources_of_random_samples_stay_as_they_are() -> None:
    # WebDataset takes those that have ended out of the caller's list.
    sources = [iter(A), iter(C)]
    assert len(list(random_samples(sources, longest=True))) == len(A) + len(C)
    assert len(sources) == 2
    assert list(random_samples([])) == []
    assert list(random_samples([iter(A)], rng=Random(1))) == A


# -- epochs, seeds, places


def test_the_draws_are_a_function_of_seed_epoch_and_place() -> None:
    members = [[0] * 200, [1] * 200]
    places = [WorkerInfo(), WorkerInfo(1, 2), WorkerInfo(0, 1, 1, 2), WorkerInfo(1, 2, 1, 2)]
    for mix in (wds.RandomMix(members, seed=3), wds.RandomMix(members)):
        draws = {
            tuple(run_alone(mix, (), RunContext(seed, epoch, place))) for seed in (5, 6) for epoch in (0, 1) for place in places
        }
        assert len(draws) == (8 if mix.seed == 3 else 16)
        assert tuple(run_alone(mix, (), RunContext(5, 1, places[3]))) in draws


def test_each_iteration_is_the_next_epoch() -> None:
    mix = wds.RandomMix([A, B], seed=3)
    epochs = [list(mix) for _ in range(3)]
    assert epochs[0] != epochs[1] != epochs[2]
    mix.set_epoch(1)
    assert list(mix) == epochs[1]
    assert list(wds.RandomMix([A, B], seed=4)) == epochs[1]


def test_without_a_seed_it_is_drawn_once_or_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    mix = wds.RandomMix([A, B])
    assert list(pickle.loads(pickle.dumps(mix))) == list(mix)
    monkeypatch.setenv("WDS_SEED", "7")
    assert list(wds.RandomMix([A, B])) == list(wds.RandomMix([A, B]))


def test_the_place_is_read_when_the_iteration_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    mixes = [wds.RandomMix([A, B], seed=3) for _ in range(2)]
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert list(mixes[0]) == list(run_alone(mixes[1], (), RunContext(0, 0, WorkerInfo(1, 2))))


@pytest.mark.parametrize("kind", MIXES)
def test_members_follow_the_epoch(kind: Any) -> None:
    source = Source()
    mix = kind([source, A])
    for epoch in (0, 1):
        list(mix)
        assert source.epochs[-1] == epoch
    mix.set_epoch(9)
    list(mix)
    assert source.epochs == [0, 1, 9]


def test_a_mix_within_a_mix() -> None:
    inner = wds.RandomMix([A, B])
    outer = wds.RandomMix([inner, C], seed=1)
    first = list(outer)
    outer.set_epoch(0)
    assert list(outer) == first
    assert list(wds.RandomMix([wds.RandomMix([A, B]), C], seed=1)) == first
    assert list(wds.RandomMix([wds.RandomMix([A, B]), C], seed=2)) != first
    assert list(wds.RoundRobin([wds.RandomMix([A, B], seed=1)])) == list(wds.RandomMix([A, B], seed=1))


# -- ends and errors


@pytest.mark.parametrize("kind", MIXES)
def test_members_are_closed_at_the_end_and_when_dropped_and_after_errors(kind: Any) -> None:
    sources = [Source(), Source(9)]
    list(kind(sources))
    assert [source.open for source in sources] == [0, 0]
    for _ in kind([kind(sources)]):
        assert [source.open for source in sources] == [1, 1]
        break
    gc.collect()
    assert [source.open for source in sources] == [0, 0]
    sources[0].fails_at = 2
    with pytest.raises(ValueError, match="no"):
        list(kind(sources, longest=True))
    assert [source.open for source in sources] == [0, 0]


@pytest.mark.parametrize("kind", MIXES)
def test_an_iterator_that_is_a_member_is_left_open(kind: Any) -> None:
    source = iter(Source(9))
    next(iter(kind([source])))
    assert next(source) == 1


@pytest.mark.parametrize("kind", MIXES)
def test_an_error_names_the_member(kind: Any) -> None:
    with pytest.raises(ValueError, match="no") as caught:
        list(kind([A, Source(fails_at=2)]))
    assert caught.value.__notes__ == ["in member 1 of a mix: Source(5)"]


class Broken:
    def __iter__(self) -> Iterator[int]:
        raise OSError("cannot start")


@pytest.mark.parametrize("kind", MIXES)
def test_a_member_that_cannot_start(kind: Any) -> None:
    source = Source()
    with pytest.raises(OSError, match="cannot start") as caught:
        list(kind([source, Broken()]))
    assert caught.value.__notes__[0].startswith("in member 1 of a mix: <")
    assert source.open == 0


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        *[(kind, ([],), "needs data sets") for kind in MIXES],
        *[(kind, ([A, 3],), "can be iterated") for kind in MIXES],
        (wds.RandomMix, ([A, B], [1]), "1 probabilities for 2"),
        (wds.RandomMix, ([A, B], [1, -1]), "must not be negative"),
        (wds.RandomMix, ([A, B], [0, 0]), "nor all 0"),
        (wds.RandomMix, ([A, B], [1, float("nan")]), "probabilities"),
    ],
)
def test_arguments_that_make_no_sense(kind: Any, arguments: Any, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        kind(*arguments)
    with pytest.raises(SpecError, match="whole number"):
        wds.RandomMix([A], seed="1")


@pytest.mark.parametrize("mix", [wds.RoundRobin([A, C], longest=True), wds.RandomMix([A, C], [1, 2], seed=3)])
def test_they_can_be_pickled_and_printed(mix: Any) -> None:
    assert list(pickle.loads(pickle.dumps(mix))) == list(mix)
    assert repr(mix).startswith(type(mix).__name__ + "([[")


# -- of shards


@pytest.fixture
def datasets(tmp_path: Path) -> list[wds.WebDataset]:
    for name in "ab":
        for shard in range(2):
            samples = [{"__key__": f"{name}{shard}{n}", "bin": bytes(1000)} for n in range(50)]
            (tmp_path / f"{name}{shard}.tar").write_bytes(make_shard(samples))
    return [wds.WebDataset(f"{tmp_path}/{name}{{0..1}}.tar", shardshuffle=10, seed=1).map(lambda s: s["__key__"]) for name in "ab"]


@pytest.mark.parametrize("kind", MIXES)
def test_nothing_is_left_behind(kind: Any, datasets: list[wds.WebDataset], tmp_path: Path) -> None:
    with leaks():
        assert len(list(kind(datasets, longest=True))) == 200
    with leaks():
        for _ in kind(datasets):
            break
    with leaks():
        stream = iter(kind(datasets))
        next(stream)
        del stream
    (tmp_path / "b1.tar").write_bytes((tmp_path / "b1.tar").read_bytes()[:2000])
    with leaks(), pytest.raises(TruncatedTarError, match=r"b1\.tar") as caught:
        list(kind(datasets, longest=True))
    assert caught.value.__notes__[-1].startswith("in member 1 of a mix: WebDataset('")


async def wait_for_ever(url: str, offset: int | None) -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("kind", MIXES)
async def test_a_mix_that_waits_for_a_member_can_be_left(kind: Any) -> None:
    silent = wds.WebDataset("silent.tar", fetcher=lambda: MemoryFetcher({"silent.tar": bytes(1024)}, steer=wait_for_ever))
    async with leaks():
        stream = aiter(wds.FluidWrapper(kind([kind([silent, silent])])).batched(2))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(stream), 0.1)
        await stream.aclose()


async def test_a_mix_in_a_pipeline_follows_its_seed_and_epoch(datasets: list[wds.WebDataset]) -> None:
    def mixed(seed: int) -> wds.FluidWrapper:
        return wds.FluidWrapper(wds.RandomMix(datasets, longest=True), seed=seed).slice(150)

    pipeline = mixed(1)
    epochs = [list(pipeline) for _ in range(2)]
    assert epochs[0] != epochs[1]
    assert epochs[0] != list(mixed(2))
    assert [item async for item in mixed(1)] == epochs[0]
    pipeline.set_epoch(1)
    assert list(pipeline) == epochs[1]


def test_epochs_of_shards_are_reproducible(datasets: list[wds.WebDataset]) -> None:
    mix = wds.RandomMix(datasets, [2, 1], longest=True, seed=5)
    epochs = [list(mix) for _ in range(2)]
    assert epochs[0] != epochs[1]
    mix.set_epoch(0)
    assert [list(mix), list(mix)] == epochs
