from __future__ import annotations

import pickle
from random import Random
from typing import Any

import pytest

from asyncwds import PipelineStage, WorkerInfo, detshuffle, rsample, shuffle
from asyncwds.errors import SpecError
from asyncwds.pipeline import RunContext, run_alone

ITEMS = list(range(400))


def kept(stage: Any, *context: Any) -> list[int]:
    return list(run_alone(stage, ITEMS, RunContext(*context)) if context else stage(iter(ITEMS)))


def test_the_share_that_is_kept() -> None:
    assert kept(rsample(0)) == []
    assert kept(rsample(1)) == ITEMS
    assert 150 < len(kept(rsample(0.5, seed=1))) < 250


def test_an_unseeded_choice_follows_seed_epoch_and_place_of_the_dataset() -> None:
    stage = rsample(0.5)
    places = [
        (7, 0, WorkerInfo()),
        (8, 0, WorkerInfo()),
        (7, 1, WorkerInfo()),
        (7, 0, WorkerInfo(1, 2)),
        (7, 0, WorkerInfo(0, 1, 1, 2)),
    ]
    choices = [kept(stage, *place) for place in places]
    assert len({tuple(choice) for choice in choices}) == len(places)
    assert kept(stage, *places[0]) == choices[0]


def test_a_seeded_choice_changes_with_the_epoch_only() -> None:
    stage = rsample(0.5, seed=3)
    assert kept(stage, 7, 0) == kept(stage, 8, 0, WorkerInfo(1, 2)) == kept(stage)
    assert kept(stage, 7, 1) == kept(rsample(0.5, seed=4)) != kept(stage)


def test_an_rng_goes_on() -> None:
    stage = rsample(0.5, rng=Random(3))
    assert kept(stage) != kept(stage)
    stage, by_itself = (rsample(0.5, rng=Random(3)) for _ in range(2))
    assert [kept(stage, 0, 5), kept(stage, 0, 6)] == [kept(by_itself), kept(by_itself)]


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan"), "0.5", None])
def test_a_probability_is_one(p: Any) -> None:
    with pytest.raises(SpecError, match="between 0 and 1"):
        rsample(p)


def test_arguments_that_make_no_sense() -> None:
    with pytest.raises(SpecError, match="rsample takes a seed or an rng"):
        rsample(seed=1, rng=Random(1))
    for make in (rsample, detshuffle):
        with pytest.raises(SpecError, match="whole number"):
            make(seed="1")


def test_detshuffle_is_a_stage_whose_runs_are_epochs() -> None:
    stage = detshuffle(50, seed=3)
    assert isinstance(stage, PipelineStage)
    assert [kept(stage), kept(stage.run)] == [kept(shuffle(50, seed=3)), kept(shuffle(50, seed=4))]
    assert (stage.epoch, stage.bufsize, stage.initial, stage.seed) == (1, 50, 100, 3)
    assert kept(detshuffle(50, seed=3, epoch=4)) == kept(shuffle(50, seed=8))


def test_detshuffle_in_a_dataset_counts_with_it() -> None:
    stage = detshuffle(50, seed=3)
    for epoch in (0, 2, 1):
        assert kept(stage, 7, epoch, WorkerInfo(1, 2)) == kept(shuffle(50, seed=3 + epoch))
    assert stage.epoch == -1


@pytest.mark.parametrize("stage", [rsample(0.3, seed=2), detshuffle(10, seed=1), shuffle(10, seed=1)])
def test_they_are_data(stage: Any) -> None:
    assert pickle.loads(pickle.dumps(stage)) == stage
    assert repr(stage).lower().startswith(type(stage).__name__.lower() + "(")
