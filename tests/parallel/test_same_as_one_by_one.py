"""Whatever the number of workers: the same items in the same order, the same errors and draws as one by one."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from random import Random
from threading import active_count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import asyncwds as wds
from asyncwds.errors import EmptyEpochError
from asyncwds.testing import leaks, make_shard

PACKAGE = str(Path(wds.__file__).parent)
HANDLERS: list[Callable[[Exception], bool]] = [wds.reraise_exception, wds.ignore_and_continue, wds.ignore_and_stop]


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("shards") / "a.tar"
    path.write_bytes(make_shard([{"__key__": f"k{n:03}", "cls": str(n)} for n in range(60)]))
    return str(path)


def tripled(bad: frozenset[int], none: frozenset[int], number: int) -> int | None:
    if number in bad:
        raise ValueError(f"{number} is bad")
    return None if number in none else 3 * number


async def tripled_later(bad: frozenset[int], none: frozenset[int], number: int) -> int | None:
    await asyncio.sleep(0.0001 * (number % 3))
    return tripled(bad, none, number)


def read(items: Any, at_most: int | None = None) -> tuple[list[Any], str]:
    """The items, and what ended them, with its notes."""
    read: list[Any] = []
    iterator = iter(items)
    try:
        for item in islice(iterator, at_most):
            read.append(item)
    except Exception as error:
        return read, f"{error!r} {getattr(error, '__notes__', ())}"
    finally:
        iterator.close()
    return read, ""


numbers = st.frozensets(st.integers(0, 40), max_size=4)


@settings(max_examples=40, deadline=None)
@given(
    length=st.integers(0, 40),
    bad=numbers,
    none=numbers,
    handler=st.sampled_from(HANDLERS),
    workers=st.one_of(st.integers(1, 8), st.just("auto")),
    function=st.sampled_from([tripled, tripled_later]),
    at_most=st.one_of(st.none(), st.integers(0, 40)),
    broken_source=st.booleans(),
)
def test_a_map_with_workers_is_a_map(
    length: int, bad: Any, none: Any, handler: Any, workers: Any, function: Any, at_most: Any, broken_source: bool
) -> None:
    def source() -> Iterator[int]:
        yield from range(length)
        if broken_source:
            raise OSError("the source broke")

    plain = wds.DataPipeline(source, wds.map(partial(tripled, bad, none), handler))
    parallel = wds.DataPipeline(source, wds.map(partial(function, bad, none), handler, workers=workers))
    threads = active_count()
    assert read(parallel, at_most) == read(plain, at_most)
    assert active_count() == threads


def late_zero(sample: Any) -> Any:
    return {**sample, "cls": 60 // int(sample["cls"])}


async def late_zero_later(sample: Any) -> Any:
    return late_zero(sample)


def inverse(value: bytes) -> float:
    return 60 / int(value)


async def inverse_later(value: bytes) -> float:
    return inverse(value)


STAGES: dict[str, Callable[[wds.WebDataset, Any], wds.WebDataset]] = {
    "map": lambda dataset, workers: dataset.map(late_zero, workers=workers),
    "map_dict": lambda dataset, workers: dataset.map_dict(cls=inverse, workers=workers),
    "map_tuple": lambda dataset, workers: dataset.to_tuple("cls").map_tuple(inverse, workers=workers),
    "map of batches": lambda dataset, workers: dataset.to_tuple("cls").listed(4).map(inverses, workers=workers),
    "decode": lambda dataset, workers: dataset.decode(wds.handle_extension("cls", inverse), workers=workers),
}
ASYNCHRONOUS: dict[str, Callable[[wds.WebDataset, Any], wds.WebDataset]] = {
    "map": lambda dataset, workers: dataset.map(late_zero_later, workers=workers),
    "map_dict": lambda dataset, workers: dataset.map_dict(cls=inverse_later, workers=workers),
    "map_tuple": lambda dataset, workers: dataset.to_tuple("cls").map_tuple(inverse_later, None, workers=workers),
}


def inverses(batch: Any) -> Any:
    return [inverse(value) for (value,) in batch]


@pytest.mark.parametrize("name", STAGES)
@pytest.mark.parametrize("workers", [1, 3])
def test_an_error_says_stage_key_and_shard_behind_one_frame_of_ours(shard: str, name: str, workers: int) -> None:
    dataset = wds.WebDataset(shard, shardshuffle=False).shuffle(20, seed=1)
    plain, parallel = STAGES[name](dataset, None), STAGES[name](dataset, workers)
    with leaks():
        assert read(parallel) == read(plain)
        with pytest.raises((ArithmeticError, wds.errors.DecodeError)) as caught:
            list(parallel)
    assert "sample" in caught.value.__notes__[-1]
    assert "k000" in caught.value.__notes__[-1]
    assert shard in caught.value.__notes__[-1]
    if name != "decode":  # its error is ours, and the user's is its cause
        frames = [frame.filename.startswith(PACKAGE) for frame in traceback.extract_tb(caught.value.__traceback__)]
        assert frames[:2] == [False, True]
        assert not any(frames[2:])


@pytest.mark.parametrize("name", ASYNCHRONOUS)
def test_asynchronous_functions_do_the_same(shard: str, name: str) -> None:
    dataset = wds.WebDataset(shard, shardshuffle=False)
    skipping = dataset.select(lambda sample: sample["cls"] != b"0")
    with leaks():
        assert read(ASYNCHRONOUS[name](skipping, 4)) == read(STAGES[name](skipping, None))
        items, error = read(ASYNCHRONOUS[name](dataset, 4))
    assert (items, "k000" in error) == ([], True)


def augmented(sample: Any, *, rng: Random) -> Any:
    return sample["__key__"], rng.random()


def augmented_by_position(sample: Any, rng: Random | None = None) -> Any:
    assert rng is not None
    return sample["__key__"], rng.random()


async def augmented_later(sample: Any, *, rng: Random) -> Any:
    await asyncio.sleep(0)
    return sample["__key__"], rng.random()


def shifted(value: bytes, rng: Random) -> float:
    return int(value) + rng.random()


@pytest.mark.parametrize("workers", [1, 2, 8, "auto"])
def test_draws_depend_on_seed_epoch_and_origin(shard: str, workers: Any) -> None:
    dataset = wds.WebDataset(shard, shardshuffle=False, seed=5)
    one_by_one = list(dataset.map(augmented))
    assert len({draw for _, draw in one_by_one}) == 60
    for f in (augmented, augmented_by_position, augmented_later):
        assert list(dataset.map(f, workers=workers)) == one_by_one
    orders = [list(dataset.shuffle(30, seed=seed).map(augmented, workers=workers)) for seed in (2, 3)]
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1])
    later = dataset.map(augmented, workers=workers)
    later.set_epoch(1)
    assert set(later).isdisjoint(one_by_one)
    assert list(dataset.map_dict(cls=shifted, workers=workers)) == list(dataset.map_dict(cls=shifted))
    fields = dataset.to_tuple("cls", "__key__")
    assert list(fields.map_tuple(shifted, workers=workers)) == list(fields.map_tuple(shifted))
    assert list(fields.batched(7).map(drawn, workers=workers)) == list(fields.batched(7).map(drawn))
    assert list(wds.DataPipeline([range(9)], wds.map(drawn, workers=workers), seed=1)) == list(
        wds.DataPipeline([range(9)], wds.map(drawn), seed=1)
    )


def drawn(_: Any, rng: Random) -> float:
    return rng.random()


def test_an_argument_rng_that_is_bound_is_left_alone() -> None:
    own = [Random(n).random() for n in (3, 3)]
    stages = [wds.map(partial(drawn, rng=Random(3)), workers=workers) for workers in (None, 2)]
    assert [next(iter(stage([1]))) for stage in stages] == own
    assert list(wds.map(lambda rng: rng + 1)([1])) == [2]  # the item goes there


def test_all_items_handed_to_a_handler_are_an_empty_epoch(shard: str) -> None:
    dataset = wds.WebDataset(shard).map(lambda sample: 1 / 0, handler=wds.ignore_and_continue, workers=2)
    with pytest.raises(EmptyEpochError, match="60.*division by zero"):
        list(dataset)
    assert dataset.stats().samples_failed == 60


@pytest.mark.parametrize("workers", [2, "auto"])
async def test_in_every_place_of_a_pipeline(shard: str, workers: Any) -> None:
    def built(workers: Any) -> wds.WebDataset:
        dataset = wds.WebDataset(shard, seed=3).decode(workers=workers).shuffle(10).map_dict(cls=float, workers=workers)
        return dataset.to_tuple("cls", "__key__").map_tuple(str, workers=workers).batched(8).map(list, workers=workers)

    with leaks():
        expected = [[list(column) for column in batch] for batch in built(None)]
        assert [[list(column) for column in batch] for batch in built(workers)] == expected
        assert [[list(column) for column in batch] async for batch in built(workers)] == expected
        repeated = [[list(column) for column in batch] for batch in built(workers).repeat(2)]
        assert repeated[: len(expected)] == expected
        assert len(repeated) == 2 * len(expected)
        mixed = wds.RoundRobin([built(workers), built(workers)])
        assert len(list(islice(mixed, 5))) == 5


def test_the_state_is_the_origins_in_flight(shard: str) -> None:
    from asyncwds.pipeline import RunContext, stream_over

    samples = list(wds.WebDataset(shard, shardshuffle=False))
    stage = wds.map(lambda sample: sample["__key__"], workers=2)
    context = RunContext(0)
    stream: Any = stage.open(stream_over(iter(samples)), context)
    given = [next(stream) for _ in range(5)]
    state = stream.state()
    stream.close()
    origins: dict[Any, int] = {sample.origin: number for number, sample in enumerate(samples)}
    held = [origins[sample.origin] for sample in state["held"]]
    assert held == list(range(5, 5 + len(held)))
    rest = stage.reopen(stream_over(samples[held[0] :]), context, state)
    assert given + list(rest) == [sample["__key__"] for sample in samples]
    with pytest.raises(wds.errors.SpecError, match="not the state"):
        stage.reopen(stream_over([]), context, {"other": 1})
