from __future__ import annotations

import inspect
import pickle
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import pytest

import asyncwds as wds
from asyncwds import PipelineStage, WorkerInfo, pipelinefilter
from asyncwds.pipeline import (
    Composed,
    FilterFunction,
    RestCurried,
    RunContext,
    Shuffle,
    compose,
    compose2,
    identity,
    pipeline,
    run_alone,
)


def _every(data: Iterator[int], n: int, start: int = 0) -> Iterator[int]:
    """Every n-th."""
    yield from islice(data, start, None, n)


every = pipelinefilter(_every)


@pipelinefilter
def decorated(data: Iterator[int], n: int) -> Iterator[int]:
    yield from islice(data, n)


class Outer:
    @pipelinefilter
    def inner(data: Iterator[int]) -> Iterator[int]:  # noqa: N805
        yield from data


# -- pipelinefilter


def test_a_function_is_called_with_the_data_before_its_arguments() -> None:
    assert list(every(3)(iter(range(10)))) == [0, 3, 6, 9]
    assert list(every(3, start=1)(iter(range(10)))) == [1, 4, 7]
    assert (every.__name__, every.__doc__, list(inspect.signature(every).parameters)) == (
        "_every",
        "Every n-th.",
        ["data", "n", "start"],
    )


@pytest.mark.parametrize("stage", [every(3), every(3, start=1), decorated(4), pipelinefilter(islice)(2), Outer.inner()], ids=repr)
def test_a_stage_can_be_pickled_also_where_the_name_is_the_decorated_one(stage: Any) -> None:
    restored = pickle.loads(pickle.dumps(stage))
    assert restored == stage
    assert list(restored(iter(range(9)))) == list(stage(iter(range(9))))


@pytest.mark.parametrize("curried", [every, decorated, pipelinefilter(islice)])
def test_what_makes_the_stage_can_be_pickled(curried: RestCurried) -> None:
    assert list(pickle.loads(pickle.dumps(curried))(2)(iter(range(4)))) == list(curried(2)(iter(range(4))))


def test_a_decorated_function_of_a_script_survives_a_spawn(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(
        "from asyncwds import pipelinefilter\n"
        "@pipelinefilter\n"
        "def first(data, n):\n"
        "    yield from list(data)[:n]\n"
        "def run(stage): return list(stage(iter(range(9))))\n"
        "if __name__ == '__main__':\n"
        "    from multiprocessing import get_context\n"
        "    with get_context('spawn').Pool(1) as pool: print(pool.apply(run, [first(2)]))\n"
    )
    result = subprocess.run([sys.executable, tmp_path / "script.py"], check=True, capture_output=True, text=True)
    assert result.stdout == "[0, 1]\n"


def test_a_local_function_cannot_be_pickled_but_runs() -> None:
    def local(data: Iterator[int]) -> Iterator[int]:
        return data

    stage = pipelinefilter(local)()
    assert list(stage(iter([1]))) == [1]
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(stage)


def test_stages_of_functions_can_be_compared_and_printed() -> None:
    assert every(3) == FilterFunction(_every, 3) != every(4)
    assert every(3) != 3
    assert repr(every(3, start=1)) == str(every(3, start=1)) == "<_every (3,) {'start': 1}>"
    assert repr(FilterFunction(Shuffle(5))) == f"<{Shuffle(5)!r} () {{}}>"


# -- PipelineStage


class Doubled(PipelineStage):
    def run(self, src: Iterator[int]) -> Iterator[int]:
        for number in src:
            yield 2 * number


def test_a_class_with_run_is_a_stage() -> None:
    for call in (Doubled(), Doubled().run, Doubled().invoke):
        assert list(call(iter([1, 2]))) == [2, 4]
    with pytest.raises(NotImplementedError, match=r"PipelineStage defines no run\(src\)"):
        PipelineStage()(iter([]))


# -- composition


def test_composition_is_from_left_to_right() -> None:
    assert compose(str, len, float)(1234) == 4.0
    assert compose2(str, len)(1234) == 4
    assert pipeline(1234, str, len) == 4
    assert pipeline([1]) == [1]
    assert compose()(3) == identity(3) == 3


def test_a_composition_of_stages_is_a_stage() -> None:
    stage = compose(every(2), wds.map(float))
    assert list(stage(iter(range(5)))) == [0.0, 2.0, 4.0]
    assert pickle.loads(pickle.dumps(stage)) == stage
    assert repr(stage).startswith("Composed(functions=(<_every")


def test_random_stages_in_a_composition_follow_the_dataset_each_on_its_own() -> None:
    stage = Composed((Shuffle(50), wds.map(identity), Shuffle(50)))
    places = [(1, 0, WorkerInfo()), (2, 0, WorkerInfo()), (1, 1, WorkerInfo()), (1, 0, WorkerInfo(1, 2))]
    orders = [tuple(run_alone(stage, range(50), RunContext(*place))) for place in places]
    assert len(set(orders)) == 4
    assert tuple(run_alone(stage, range(50), RunContext(*places[0]))) == orders[0]
    assert orders[0] != tuple(run_alone(Shuffle(50), run_alone(Shuffle(50), range(50), RunContext(1)), RunContext(1)))
    kept = Composed((Shuffle(50, rng=Random(1)),))
    assert list(run_alone(kept, range(50), RunContext(1))) == list(Shuffle(50, seed=1)(range(50)))
