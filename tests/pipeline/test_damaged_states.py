"""States that somebody changed, or of which a part is missing: an error that says so, before anything is read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest

import asyncwds as wds
from asyncwds.errors import SpecError
from asyncwds.testing import make_shard


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Any]:
    folder = tmp_path_factory.mktemp("shards")
    for number in range(3):
        (folder / f"{number}.tar").write_bytes(make_shard([{"__key__": f"{number}{n}", "cls": str(n)} for n in range(5)]))
    url = f"{folder}/{{0..2}}.tar"
    data = make(url)
    items = iter(data)
    list(islice(items, 4))
    return url, json.loads(json.dumps(items.state_dict()))


def make(url: str) -> Any:
    prefetch = wds.Prefetch(interleave=2, interleave_samples=1)
    return wds.WebDataset(url, seed=1, shardshuffle=3, prefetch=prefetch).shuffle(4)


PLACES = {
    "seed": 1e30,
    "epoch": 10**30,
    "items": -1,
    "worker_info": [2, 1, 0, 1],
    "description": [[]],
    "description.shards": 1.5,
    "description.stages": [None],
    "pass": [],
    "pass.number": [],
    "pass.skip": 1.5,
    "pass.stages": 7,
    "pass.stages.0": [],
    "pass.stages.0.position": None,
    "pass.stages.0.position.turn": None,
    "pass.stages.0.position.entered": 10**30,
    "pass.stages.0.position.open.0": [1, 2],
    "pass.stages.0.position.open.0.2": {},
    "pass.stages.0.position.open.0.4": -1,
    "pass.stages.0.position.open.0.5": 3,
    "pass.stages.1.rng": [3, "AAAA"],
    "pass.stages.1.rng.1": "AAA=",
    "pass.stages.1.held": [[[0, 0]]],
    "pass.kept": 1.5,
    "pass.tally.taken": None,
    "pass.tally.samples": 1,
    "base": "x",
}


def changed(state: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    name: Any = int(path[0]) if isinstance(state, list) else path[0]
    copy = list(state) if isinstance(state, list) else dict(state)
    copy[name] = changed(copy[name] if isinstance(copy, list) else copy.get(name), path[1:], value)
    return copy


def run(data: Any, state: Any) -> Iterator[Any]:
    data.load_state_dict(state)
    yield from data


@pytest.mark.parametrize("path", PLACES)
def test_a_part_that_is_nothing_that_can_stand_there(saved: tuple[str, Any], path: str) -> None:
    url, state = saved
    with pytest.raises(SpecError):
        list(run(make(url), changed(state, path.split("."), PLACES[path])))


@pytest.mark.parametrize("path", ["worker_info", "description", "description.shards", "description.stages", "pass", "pass.skip"])
def test_they_are_not_merged(saved: tuple[str, Any], path: str) -> None:
    _, state = saved
    with pytest.raises(SpecError):
        wds.merge_state_dicts([state, changed(state, path.split("."), PLACES[path])])


def test_the_error_names_the_part(saved: tuple[str, Any]) -> None:
    url, state = saved
    with pytest.raises(SpecError, match=r"the state is damaged: pass\.skip is 1\.5"):
        make(url).load_state_dict(changed(state, ["pass", "skip"], 1.5))


BEHIND = {
    "shards": {},
    "shards.passes": [[1]],
    "shards.passes.0": [1, [0], 0],
    "shards.passes.0.0": 9,
    "shards.passes.0.1": [7, 0, 1],
    "shards.passes.0.1.1": "x",
    "shards.passes.0.2": 9,
    "shards.datasets": [],
    "shards.datasets.0": {"marks": "AA"},
}


@pytest.mark.parametrize("path", BEHIND)
def test_what_says_which_dataset_held_samples_came_through(saved: tuple[str, Any], path: str) -> None:
    url, _ = saved

    def make_behind() -> Any:
        return wds.FluidWrapper(wds.RoundRobin([make(url), make(url)]), seed=1).shuffle(4)

    data = make_behind()
    items = iter(data)
    list(islice(items, 4))
    state = json.loads(json.dumps(data.state_dict()))
    items.close()
    with pytest.raises(SpecError):
        list(run(make_behind(), changed(state, ["pass", "stages", "0", *path.split(".")], BEHIND[path])))
