"""The state of a pipeline, as torchdata's StatefulDataLoader uses it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import asyncwds as wds
from asyncwds.errors import SpecError
from asyncwds.testing import write_shards


def counts(state: dict[str, Any]) -> dict[str, Any]:
    return {name: state[name] for name in ("seed", "epoch", "items", "ended")}


def numbers() -> wds.DataPipeline:
    return wds.DataPipeline(range(50), wds.shuffle(20), seed=1)


def test_the_next_iteration_is_the_rest_and_the_one_after_it_the_next_epoch() -> None:
    first = numbers()
    list(first)
    running = iter(first)
    for _ in range(7):
        next(running)
    state = first.state_dict()
    assert counts(state) == {"seed": 1, "epoch": 1, "items": 7, "ended": False}
    second = numbers()
    second.load_state_dict(state)
    assert [list(second), list(second)] == [list(running), list(first)]


def test_a_state_before_the_first_iteration_is_its_beginning() -> None:
    data = numbers()
    data.set_epoch(3)
    state, expected = data.state_dict(), list(data)
    other = numbers()
    other.load_state_dict(state)
    assert list(other) == expected


def test_after_its_end_an_epoch_has_nothing_left() -> None:
    first = numbers()
    list(first)
    state = first.state_dict()
    assert (state["items"], state["ended"]) == (50, True)
    second = numbers()
    second.load_state_dict(state)
    assert list(second) == []
    assert second.state_dict() == state
    assert list(second) == list(first)


def test_an_epoch_that_was_broken_off_or_failed_has_not_ended() -> None:
    def failing(items: Any) -> Any:
        for item in items:
            if item == 5:
                raise OSError
            yield item

    data = wds.DataPipeline(range(50), failing)
    running = iter(data)
    with pytest.raises(OSError):
        list(running)
    assert list(running) == []
    assert (data.state_dict()["items"], data.state_dict()["ended"]) == (5, False)

    data = numbers()
    for _ in data:
        break
    assert (data.state_dict()["items"], data.state_dict()["ended"]) == (1, False)


async def test_asynchronous_iterations_count_alike() -> None:
    data = numbers()
    given = [item async for item in data]
    other = numbers()
    other.load_state_dict({"seed": 1, "epoch": 0, "items": 20, "ended": False})
    assert [item async for item in other] == given[20:]


def test_the_seed_is_that_of_the_state() -> None:
    data, other = numbers(), wds.DataPipeline(range(50), wds.shuffle(20), seed=2)
    other.load_state_dict(data.state_dict())
    assert other.seed == 1
    assert list(other) == list(data)


def test_a_pipeline_composed_of_it_counts_for_itself() -> None:
    data = numbers()
    next(iter(data))
    assert data.compose(wds.map(str)).state_dict()["items"] == 0


@pytest.mark.parametrize("state", [{}, {"epoch": 1}, None, {"seed": "x", "epoch": 0, "items": 0, "ended": False}], ids=repr)
def test_what_is_no_state(state: Any) -> None:
    with pytest.raises(SpecError, match="not the state of a pipeline"):
        numbers().load_state_dict(state)


class Shouting(wds.DataPipeline):
    def __iter__(self) -> Any:
        for item in super().__iter__():
            yield f"{item}!"


class Bounded(wds.DataPipeline):
    def iterator(self) -> Any:
        yield from super().iterator()


class OnePass(wds.DataPipeline):
    def iterator1(self) -> Any:
        yield from super().iterator1()


class Louder(Shouting):
    def __iter__(self) -> Any:
        for item in super().__iter__():
            yield item.upper()


@pytest.mark.parametrize("kind", [Shouting, Bounded, OnePass, Louder])
def test_a_subclass_whose_iteration_is_a_generator(kind: Any) -> None:
    """Nothing of it runs before its first item is asked for, and its state is that of its own epoch all the same."""

    def make() -> Any:
        return kind(range(50), wds.shuffle(20), seed=1)

    first = make()
    list(first)
    ended = first.state_dict()
    running = iter(first)
    began = first.state_dict()
    expected = list(running)
    assert (ended["epoch"], ended["items"], ended["ended"]) == (0, 50, True)
    assert counts(began) == {"seed": 1, "epoch": 1, "items": 0, "ended": False}
    assert counts(first.state_dict()) == {**counts(began), "items": 50, "ended": True}
    second = make()
    second.load_state_dict(began)
    assert list(second) == expected


@pytest.mark.parametrize("kind", [wds.DataPipeline, Shouting, Bounded])
def test_a_state_that_was_loaded_is_the_state_until_the_first_item(kind: Any) -> None:
    state = {"seed": 1, "epoch": 3, "items": 7, "ended": False}
    data = kind(range(50), wds.shuffle(20), seed=1)
    data.load_state_dict(state)
    assert counts(data.state_dict()) == state
    running = iter(data)
    assert counts(data.state_dict()) == state
    next(running)
    assert counts(data.state_dict()) == {**state, "items": 8}


class OfItsOwn(wds.DataPipeline):
    def __init__(self) -> None:
        """Without that of DataPipeline."""

    def __iter__(self) -> Any:
        yield from self.iterator(3)

    def iterator(self, number: int) -> Any:  # type: ignore[override]
        yield from range(number)


def test_a_subclass_that_is_nothing_but_its_own() -> None:
    assert list(OfItsOwn()) == [0, 1, 2]


def test_an_iterator_that_is_left_open_when_the_process_ends_says_nothing(tmp_path: Path) -> None:
    """A state of more samples than these needs numpy, which cannot be imported then."""
    shards = list(map(str, write_shards(tmp_path, shards=2, samples=60)))
    code = f"import asyncwds\nitems = iter(asyncwds.WebDataset({shards}).shuffle(100, initial=100))\nnext(items)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
