from __future__ import annotations

import pickle
from itertools import islice
from typing import Any

import pytest

import asyncwds as wds
from asyncwds import Sample, WorkerInfo
from asyncwds.pipeline import RunContext, run_alone


def test_the_first_complete_pass_is_kept() -> None:
    stage = wds.Cached()
    assert list(islice(stage(iter([1, 2, 3])), 2)) == [1, 2]
    assert not stage.is_complete()
    assert list(stage(iter([4, 5]))) == [4, 5]
    assert stage.is_complete()
    assert list(stage(iter([6]))) == list(stage.run(iter([]))) == [4, 5]


def test_a_pass_that_fails_keeps_nothing() -> None:
    def failing() -> Any:
        yield 1
        raise OSError("network")

    stage = wds.Cached()
    with pytest.raises(OSError, match="network"):
        list(stage(failing()))
    assert list(stage(iter([2]))) == [2]


def test_each_place_has_its_own_samples_whatever_seed_and_epoch() -> None:
    stage = wds.Cached()
    places = [WorkerInfo(), WorkerInfo(1, 2), WorkerInfo(0, 2, 1, 2)]
    for number, place in enumerate(places):
        assert list(run_alone(stage, [number], RunContext(7, 0, place))) == [number]
    for number, place in enumerate(places):
        assert stage.replays(RunContext(8, 5, place))
        assert list(run_alone(stage, [], RunContext(8, 5, place))) == [number]
    assert not stage.is_complete()


def test_later_stages_cannot_change_what_is_kept() -> None:
    # In WebDataset the second pass gives what they made of it.
    def spoil(sample: dict[str, int]) -> dict[str, int]:
        sample["a"] += 1
        return sample

    sample = Sample({"__key__": "k", "a": 1})
    sample._origin = (1, 2, 3)
    stage = wds.Cached()
    for source in ([sample], [], []):
        (result,) = map(spoil, stage(iter(source)))
        assert result == {"__key__": "k", "a": 2}
        assert result.origin == (1, 2, 3)
    stage = wds.Cached()
    for source in ([[1]], []):
        (values,) = stage(iter(source))
        values.append(2)
        assert values == [1, 2]


def test_a_pickle_is_the_description() -> None:
    stage = wds.Cached()
    list(stage(iter([1])))
    restored = pickle.loads(pickle.dumps(stage))
    assert not restored.is_complete()
    assert list(restored(iter([2]))) == [2]
    assert repr(stage) == "Cached()"
    assert isinstance(stage, wds.PipelineStage)
