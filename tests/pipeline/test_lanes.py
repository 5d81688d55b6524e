"""An epoch in lanes: in each step all ranks together have the same samples, however many ranks there are."""

from __future__ import annotations

import json
import re
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from standing import standing_at

import asyncwds as wds
from asyncwds.errors import SpecError
from asyncwds.storage import MemoryFetcher
from asyncwds.testing import make_shard

LANES, EACH = 8, 3
SIZES = [7, 12, 9, 7, 8, 7, 11, 7, 4, 9, 5, 7, 2, 8, 3, 6, 7, 7, 1]
CONTENTS = {
    f"s{shard}.tar": make_shard([{"__key__": f"k{shard:02}{n:02}", "cls": str(n)} for n in range(size)])
    for shard, size in enumerate(SIZES)
}
KEYS = sorted(f"k{shard:02}{n:02}" for shard, size in enumerate(SIZES) for n in range(size))


def key_of(sample: dict[str, Any]) -> str:
    key: str = sample["__key__"]
    return key


def dataset(**options: Any) -> Any:
    fixed = {"seed": 1, "shardshuffle": 20, "fetcher": lambda: MemoryFetcher(CONTENTS)}
    return wds.WebDataset(f"s{{0..{len(SIZES) - 1}}}.tar", **{**fixed, **options})


def lanes(world_size: int, number: int = LANES, workers: int = 1) -> Any:
    """Batches that have `EACH` samples of each lane."""
    each = EACH * number // (world_size * workers)
    return dataset().shuffle(6).map(key_of).lanes(number).listed(each)


def run(data: Any, place: wds.WorkerInfo, count: int | None = None, state: Any = None) -> tuple[list[list[str]], Any]:
    with standing_at(place):
        if state is not None:
            data.load_state_dict(state, strict=False)  # the size of the batches is another one
        items = iter(data)
        batches = list(islice(items, count))
        saved = json.loads(json.dumps(data.state_dict()))
        items.close()
    return batches, saved


def steps_of(world: list[list[list[str]]]) -> list[list[str]]:
    """What all ranks have in each step."""
    longest = max(map(len, world))
    return [sorted(key for batches in world for key in (batches[step] if step < len(batches) else [])) for step in range(longest)]


def in_world(world_size: int, count: int | None = None, state: Any = None) -> tuple[list[list[str]], list[Any]]:
    ran = [run(lanes(world_size), wds.WorkerInfo(rank, world_size), count, state) for rank in range(world_size)]
    return steps_of([batches for batches, _ in ran]), [saved for _, saved in ran]


def shortest() -> int:
    """The steps before the first lane ends."""
    return min(len(run(lanes(LANES), wds.WorkerInfo(rank, LANES))[0][:-1]) for rank in range(LANES))


def test_the_steps_are_the_same_for_every_number_of_ranks_that_divides_the_lanes() -> None:
    alike = shortest()
    assert alike > 2
    steps = {world_size: in_world(world_size)[0] for world_size in (1, 2, 4, 8)}
    for found in steps.values():
        assert found[:alike] == steps[1][:alike]
        assert sorted(key for step in found for key in step) == KEYS
    assert len({key for step in steps[1] for key in step}) == len(KEYS)


def test_with_workers_a_step_is_of_those_of_the_same_number() -> None:
    worlds = []
    for world_size in (1, 2, 4):
        places = [wds.WorkerInfo(rank, world_size, worker, 2) for worker in range(2) for rank in range(world_size)]
        ran = [run(lanes(world_size, workers=2), place)[0] for place in places]
        worlds.append([steps_of(ran[worker * world_size : (worker + 1) * world_size]) for worker in range(2)])
    alike = shortest()
    assert worlds[0][0][:alike] != worlds[0][1][:alike]
    for world in worlds:
        assert [steps[:alike] for steps in world] == [steps[:alike] for steps in worlds[0]]


@pytest.mark.parametrize("count", [0, 1, 3, 99])
@pytest.mark.parametrize("world_size", [1, 4])
def test_a_rank_goes_on_exactly(world_size: int, count: int) -> None:
    place = wds.WorkerInfo(world_size - 1, world_size)
    whole, _ = run(lanes(world_size), place)
    first, state = run(lanes(world_size), place, count)
    assert first + run(lanes(world_size), place, None, state)[0] == whole


def test_in_the_middle_of_a_round_it_goes_on_with_the_lane_whose_turn_it_is() -> None:
    data = dataset().shuffle(6).map(key_of).lanes(4)
    whole = list(data)
    for count in (1, 3, 6, 30, len(whole) - 2):
        first, state = run(dataset().shuffle(6).map(key_of).lanes(4), wds.WorkerInfo(), count)
        assert first + run(dataset().shuffle(6).map(key_of).lanes(4), wds.WorkerInfo(), None, state)[0] == whole


def test_other_numbers_of_ranks_go_on_with_the_same_steps() -> None:
    whole, _ = in_world(1)
    alike, given, state = shortest(), [], None
    for world_size, count in ((4, 1), (2, 1), (8, 1)):
        steps, states = in_world(world_size, count, state)
        given += steps
        state = json.loads(json.dumps(wds.merge_state_dicts(states)))
    rest, ended = in_world(1, None, state)
    assert (given + rest)[:alike] == whole[:alike]
    assert sorted(key for step in given + rest for key in step) == KEYS
    assert sorted(key for step in in_world(2, None, wds.merge_state_dicts(ended))[0] for key in step) == []


def test_ranks_at_different_moments_and_some_at_their_end() -> None:
    ran = [run(lanes(2), wds.WorkerInfo(rank, 2), count) for rank, count in enumerate((99, 1))]
    merged = wds.merge_state_dicts([saved for _, saved in ran])
    rest, _ = in_world(4, None, merged)
    assert (
        sorted([key for batches, _ in ran for batch in batches for key in batch] + [key for step in rest for key in step]) == KEYS
    )


def test_a_missing_rank_is_an_error_or_its_lanes_begin_anew() -> None:
    ran = [run(lanes(2), wds.WorkerInfo(rank, 2), 1) for rank in range(2)]
    with pytest.raises(SpecError, match="no states of the lanes 1, 3, 5, 7"):
        wds.merge_state_dicts([ran[0][1]])
    rest, _ = in_world(4, None, wds.merge_state_dicts([ran[0][1]], missing="redeliver"))
    assert sorted([key for batch in ran[0][0] for key in batch] + [key for step in rest for key in step]) == KEYS


def test_the_next_epoch_has_other_steps_and_stats_are_those_of_all_lanes() -> None:
    data = lanes(1)
    epochs = [list(data), list(data)]
    assert epochs[0] != epochs[1]
    assert [sorted(key for step in epoch for key in step) for epoch in epochs] == [KEYS, KEYS]
    assert data.stats().samples == len(KEYS)
    assert "Lanes(" in re.sub(r"\s+", " ", repr(data))


def test_the_seed_is_that_of_the_state() -> None:
    whole, _ = run(lanes(1), wds.WorkerInfo())
    first, state = run(lanes(1), wds.WorkerInfo(), 2)
    other = dataset(seed=7).shuffle(6).map(key_of).lanes(LANES).listed(EACH * LANES)
    assert first + run(other, wds.WorkerInfo(), None, state)[0] == whole


def test_with_as_many_samples_in_each_lane_all_steps_are_the_same(tmp_path: Path) -> None:
    for name, data in CONTENTS.items():
        (tmp_path / name).write_bytes(data)
    urls = f"{tmp_path}/s{{0..{len(SIZES) - 1}}}.tar"
    index = wds.make_index(urls)

    def make(world_size: int) -> Any:
        shared = wds.WebDataset(urls, seed=1, shardshuffle=20, index=index, split="samples", uneven="drop")
        return shared.shuffle(6).map(key_of).lanes(LANES).listed(EACH * LANES // world_size)

    def found(world_size: int) -> list[list[str]]:
        return steps_of([run(make(world_size), wds.WorkerInfo(rank, world_size))[0] for rank in range(world_size)])

    whole = found(1)
    share = len(KEYS) // LANES
    assert [len(step) for step in whole] == [EACH * LANES] * (share // EACH) + [share % EACH * LANES] * bool(share % EACH)
    assert len({key for step in whole for key in step}) == share * LANES
    for world_size in (2, 4, 8):
        assert found(world_size) == whole


def test_what_makes_no_sense() -> None:
    with pytest.raises(SpecError, match="8 lanes cannot be shared out evenly among 3 ranks"), standing_at(wds.WorkerInfo(0, 3)):
        iter(lanes(1))
    with pytest.raises(SpecError, match="repeat and with_epoch belong behind lanes"):
        dataset().with_epoch(9).lanes(2)
    with pytest.raises(SpecError, match="lanes: number"):
        dataset().lanes(0)
    _, state = run(lanes(2), wds.WorkerInfo(0, 2), 1)
    with pytest.raises(SpecError, match="8 in the state, 4 here"):
        run(lanes(2, number=4), wds.WorkerInfo(0, 2), None, state)
    with pytest.raises(SpecError, match="as many ranks and workers"):
        run(lanes(2), wds.WorkerInfo(1, 2), None, state)


@pytest.mark.filterwarnings("ignore:shuffle holds items of:asyncwds.errors.ResumeWarning")
def test_what_a_stage_behind_the_lanes_holds_is_not_shared_out() -> None:
    data = dataset().map(key_of).lanes(2).shuffle(9)
    _, state = run(data, wds.WorkerInfo(), 3)
    with pytest.raises(SpecError, match="which samples were given: shuffle holds items of lanes"):
        wds.merge_state_dicts([state])
