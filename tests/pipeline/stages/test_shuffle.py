from __future__ import annotations

import pickle
from random import Random
from typing import Any

import pytest

from asyncwds import WorkerInfo
from asyncwds.errors import SpecError
from asyncwds.pipeline import RunContext, Shuffle, run_alone

ITEMS = list(range(300))


def order(stage: Any, *context: Any) -> list[int]:
    items = list(run_alone(stage, ITEMS, RunContext(*context)) if context else stage(iter(ITEMS)))
    assert sorted(items) == ITEMS
    return items


def test_a_seed_repeats_the_order() -> None:
    assert order(Shuffle(50, seed=3)) == order(Shuffle(50, seed=3)) != order(Shuffle(50, seed=4))
    assert order(Shuffle(50, rng=Random(3))) == order(Shuffle(50, seed=3))
    assert order(Shuffle(50)) != order(Shuffle(50))


def test_an_rng_goes_on() -> None:
    stage = Shuffle(50, rng=Random(3))
    assert order(stage) != order(stage)
    stage, by_itself = (Shuffle(50, rng=Random(3)) for _ in range(2))
    assert [order(stage, 0, 5), order(stage, 0, 6)] == [order(by_itself), order(by_itself)]


def test_a_seeded_shuffle_changes_with_the_epoch_only() -> None:
    stage = Shuffle(50, seed=3)
    assert order(stage, 7, 0, WorkerInfo(1, 2)) == order(stage)
    assert order(stage, 7, 1) == order(stage, 8, 1, WorkerInfo(1, 2)) == order(Shuffle(50, seed=4))


def test_an_unseeded_shuffle_follows_the_dataset() -> None:
    stage = Shuffle(50)
    described = [
        (7, 0, WorkerInfo()),
        (8, 0, WorkerInfo()),
        (7, 1, WorkerInfo()),
        (7, 0, WorkerInfo(1, 2)),
        (7, 0, WorkerInfo(0, 2, 1, 2)),
    ]
    orders = [order(stage, *described_by) for described_by in described]
    assert len({tuple(items) for items in orders}) == len(described)
    assert order(stage, *described[0]) == orders[0]


def test_the_order_is_the_same_in_every_process_and_release() -> None:
    assert list(run_alone(Shuffle(10), range(12), RunContext(1, 2, WorkerInfo(3, 4, 5, 6)))) == [
        1,
        3,
        11,
        9,
        10,
        7,
        8,
        0,
        4,
        2,
        6,
        5,
    ]


@pytest.mark.parametrize("size", [0, 1, False, True])
def test_without_a_buffer_the_order_is_kept(size: int) -> None:
    assert order(Shuffle(size)) == ITEMS


def test_arguments_that_make_no_sense() -> None:
    with pytest.raises(SpecError, match="not both"):
        Shuffle(10, seed=1, rng=Random(1))
    with pytest.raises(SpecError, match="whole number"):
        Shuffle(10, seed="1")


def test_it_is_data() -> None:
    stage = Shuffle(10, seed=3)
    assert pickle.loads(pickle.dumps(stage)) == stage
    assert repr(stage) == "Shuffle(bufsize=10, initial=100, rng=None, seed=3)"
