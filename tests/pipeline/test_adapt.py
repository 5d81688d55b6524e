"""Every form in which people write stages runs alike, and what they begin pipelines with."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

import asyncwds as wds
from asyncwds.errors import SpecError
from asyncwds.pipeline import StageStream
from asyncwds.testing import make_shard


def doubled(items: Iterator[int]) -> Iterator[int]:
    return (2 * item for item in items)


def generated(items: Iterator[int]) -> Iterator[int]:
    for item in items:
        yield 2 * item


class Called:
    def __call__(self, items: Iterator[int]) -> Iterator[int]:
        return doubled(items)


class OpensFiles(Called):
    """`open` is a method of its own."""

    def __call__(self, items: Iterator[int]) -> Iterator[int]:
        return doubled(items)

    def open(self, name: str) -> Any:
        raise AssertionError(name)


class HasRun:
    def run(self, src: Iterator[int]) -> Iterator[int]:
        return doubled(src)


class Stage(wds.PipelineStage):
    def run(self, src: Iterator[int]) -> Iterator[int]:
        return doubled(src)


class Bound:
    def __call__(self, items: Iterator[int]) -> Iterator[int]:
        raise AssertionError(items)

    def bound(self, seed: int, epoch: int, place: wds.WorkerInfo) -> Callable[[Iterator[int]], Iterator[int]]:
        assert (seed, epoch, place) == (7, 0, wds.WorkerInfo())
        return doubled


def told_place(items: Iterator[int], place: wds.WorkerInfo | None = None) -> Iterator[int]:
    assert place == wds.WorkerInfo()
    return doubled(items)


@dataclass(frozen=True)
class Protocol:
    def open(self, source: Any, context: Any) -> StageStream:
        assert (context.seed, context.epoch, context.worker_info) == (7, 0, wds.WorkerInfo())
        return StageStream(lambda: doubled(source), source)


STAGES: dict[str, Any] = {
    "a function": doubled,
    "a generator function": generated,
    "of one's own list": lambda items: [2 * item for item in items],
    "a callable object": Called(),
    "a callable object that opens something": OpensFiles(),
    "an object with run": HasRun(),
    "a PipelineStage": Stage(),
    "a pipelinefilter": wds.pipelinefilter(doubled)(),
    "bound": Bound(),
    "with an argument place": told_place,
    "the protocol": Protocol(),
    "one of ours": wds.map(lambda item: 2 * item),
    "a composition": wds.filters.compose(doubled, wds.slice(None)),
}


@pytest.mark.parametrize("name", STAGES)
async def test_every_form_of_a_stage(name: str) -> None:
    pipeline = wds.DataPipeline(range(3), STAGES[name], seed=7)
    assert list(pipeline) == [0, 2, 4]
    pipeline.set_epoch(0)
    assert [item async for item in pipeline] == [0, 2, 4]


class BoundList:
    def __iter__(self) -> Iterator[int]:
        raise AssertionError

    def bound(self, seed: int, epoch: int, place: wds.WorkerInfo) -> list[int]:
        return [seed, epoch, place.rank]


class ProtocolHead:
    def open(self, source: Any, context: Any) -> StageStream:
        return StageStream(lambda: iter([context.seed, context.epoch, context.worker_info.rank]), source)


class RunHead:
    def run(self) -> list[int]:
        return [7, 0, 0]


HEADS: dict[str, Any] = {
    "what can be iterated": (7, 0, 0),
    "a function": lambda: iter([7, 0, 0]),
    "an object with run": RunHead(),
    "bound": BoundList(),
    "the protocol": ProtocolHead(),
    "a pipeline": wds.DataPipeline((7, 0, 0)),
    "a mix": wds.RoundRobin([[7, 0], [0]]),
    "a mix of mixes": wds.RoundRobin([wds.RoundRobin([[7]], longest=True), [0], [0]]),
}


@pytest.mark.parametrize("name", HEADS)
async def test_every_form_of_a_beginning(name: str) -> None:
    pipeline = wds.DataPipeline(HEADS[name], seed=7)
    assert sorted(pipeline, reverse=True) == [7, 0, 0]
    pipeline.set_epoch(0)
    assert sorted([item async for item in pipeline], reverse=True) == [7, 0, 0]


def test_an_archive_that_is_iterated_over_has_an_open_of_its_own() -> None:
    with tarfile.open(fileobj=io.BytesIO(make_shard([{"__key__": "a", "txt": "x"}]))) as archive:
        assert [member.name for member in wds.DataPipeline(archive)] == ["a.txt"]


@pytest.mark.parametrize("stage", [3, "shuffle", object(), ["x"]], ids=["number", "text", "object", "list"])
def test_what_is_no_stage(stage: Any) -> None:
    with pytest.raises(SpecError, match="must be callable with an iterator"):
        wds.DataPipeline(range(3)).append(stage)


def test_random_stages_before_a_splitter_are_alike_in_every_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    def halves(*stages: Any) -> list[list[int]]:
        found = []
        for rank in "01":
            monkeypatch.setenv("RANK", rank)
            monkeypatch.setenv("WORLD_SIZE", "2")
            found.append(list(wds.DataPipeline(range(100), *stages, seed=3)))
        return found

    shared = halves(wds.shuffle(100), wds.rsample(0.5), wds.split_by_node)
    assert len(set(shared[0]) | set(shared[1])) == len(shared[0]) + len(shared[1]) > 20
    own = halves(wds.split_by_node, wds.shuffle(100), wds.rsample(0.5))
    assert [item // 2 for item in own[0]] != [item // 2 for item in own[1]]
