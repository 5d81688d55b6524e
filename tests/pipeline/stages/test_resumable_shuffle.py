"""A shuffle tells its state between any two items, and another one goes on from there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from random import Random
from typing import Any

import pytest

import asyncwds as wds
from asyncwds.errors import SpecError
from asyncwds.pipeline import RunContext, adapt_all, stream_over
from asyncwds.testing import make_shard

SAMPLES = 40
STAGES = [
    wds.shuffle(10),
    wds.shuffle(10, initial=3),
    wds.shuffle(7, initial=7, seed=5),
    wds.shuffle(1),
    wds.shuffle(2),
    wds.shuffle(1000, initial=10),
    wds.shuffle(1000, initial=1000),
    wds.detshuffle(8, 2, seed=4),
]


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    folder = tmp_path_factory.mktemp("shards")
    for shard in range(2):
        made = [{"__key__": f"{shard}{n:02}", "cls": str(n)} for n in range(SAMPLES // 2)]
        (folder / f"{shard}.tar").write_bytes(make_shard(made))
    return list(wds.WebDataset(f"{folder}/{{0..1}}.tar"))


def saved(stream: Any) -> Any:
    """Its state as a pipeline saves it, with plain places for what is held."""
    state = stream.state()
    traces = [((None, None, held._origin),) if isinstance(held, wds.Sample) else held for held in state["held"]]
    return json.loads(json.dumps({**state, "held": [[origin for _, _, origin in item] for item in traces]}))


def taken(items: Iterator[Any], counted: list[int]) -> Iterator[Any]:
    for item in items:
        counted[0] += 1
        yield item


@pytest.mark.parametrize("stage", STAGES, ids=repr)
def test_cut_anywhere_it_goes_on_with_the_same_items(samples: list[Any], stage: Any) -> None:
    context = RunContext(seed=3, epoch=1)
    expected = list(stage.open(stream_over(samples), context))
    assert sorted(expected, key=samples.index) == samples
    by_origin = {tuple(sample.origin): sample for sample in samples}
    for cut in range(SAMPLES + 1):
        read = [0]
        stream = stage.open(stream_over(taken(iter(samples), read)), context)
        given = list(islice(stream, cut))
        state = saved(stream)
        stream.close()
        held = [by_origin[tuple(origin)] for (origin,) in state["held"]]
        assert len(held) == read[0] - cut
        rest = stage.reopen(stream_over(chain(held, samples[read[0] :])), context, state)
        assert given + list(rest) == expected


def test_items_that_were_made_of_samples_are_held_as_these(samples: list[Any]) -> None:
    stages = [wds.to_tuple("__key__"), wds.listed(2), wds.shuffle(6, seed=1)]
    stream: Any = stream_over(samples)
    for stage in adapt_all(stages):
        stream = stage.open(stream, RunContext(0))
    given = [key for pair in islice(stream, 5) for (key,) in pair]
    origins = {tuple(sample.origin): sample["__key__"] for sample in samples}
    held = [[origins[tuple(origin)] for origin in item] for item in saved(stream)["held"]]
    assert all(len(pair) == 2 for pair in held)
    read = [sample["__key__"] for sample in samples[: len(given) + 2 * len(held)]]
    assert sorted(given + [key for pair in held for key in pair]) == read


def test_an_rng_goes_on_where_it_was(samples: list[Any]) -> None:
    expected = list(wds.shuffle(10, rng=Random(3))(iter(samples)))
    stream: Any = wds.shuffle(10, rng=Random(3)).open(stream_over(samples), RunContext(0))
    given = list(islice(stream, 7))
    state = saved(stream)
    by_origin = {tuple(sample.origin): sample for sample in samples}
    held = [by_origin[tuple(origin)] for (origin,) in state["held"]]
    rest = wds.shuffle(10, rng=Random(9)).reopen(stream_over(chain(held, samples[7 + len(held) :])), RunContext(0), state)
    assert given + list(rest) == expected


@pytest.mark.parametrize(
    "state", [None, {}, {"held": [], "rng": [1, 2]}, {"held": 3, "rng": []}, {"held": [], "rng": [3, [1], None]}]
)
def test_what_is_no_state(state: Any) -> None:
    with pytest.raises(SpecError, match="not the state of a shuffle"):
        wds.shuffle(5).reopen(stream_over(()), RunContext(0), state)


def test_a_stream_that_is_closed_is_at_its_end(samples: list[Any], tmp_path: Path) -> None:
    stream: Any = wds.shuffle(5).open(stream_over(samples), RunContext(0))
    next(stream)
    stream.close()
    stream.close()
    assert list(stream) == []


@pytest.mark.parametrize("every", [1, 2, 5])
@pytest.mark.parametrize("stage", STAGES)
def test_origins_are_those_of_the_buffer_whichever_states_were_taken_before(samples: list[Any], stage: Any, every: int) -> None:
    """Of a full buffer only places that have changed since are looked at."""
    stream: Any = stage.open(stream_over(samples), RunContext(3))
    for number, _ in enumerate(stream):
        held = stream.state()["held"]
        if held and number % every == 0:
            assert held.rows().tolist() == [list(sample.origin) for sample in held]
