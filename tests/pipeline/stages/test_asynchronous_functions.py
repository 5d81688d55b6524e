"""Stages run in plain iterators: an asynchronous function there is an error when it is given, which says what to do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from inspect import iscoroutine
from pathlib import Path
from typing import Any

import pytest

import asyncwds as wds
from asyncwds.errors import SpecError
from asyncwds.testing import make_shard

INSTEAD = "await it in the loop over the dataset"


async def fetch(sample: Any, *_: Any) -> Any:
    return sample


async def generate(samples: Any) -> Any:
    for sample in samples:
        yield sample


class Client:
    async def __call__(self, sample: Any) -> Any:
        return sample

    async def fetch(self, sample: Any) -> Any:
        return sample


class Stream:
    def __aiter__(self) -> Any:
        return self


class AsynchronousStage(wds.PipelineStage):
    async def run(self, src: Any) -> Any:
        return src


TAKERS: dict[str, Callable[[Any], Any]] = {
    "map": wds.map,
    "map, fluent": lambda f: wds.FluidWrapper([1]).map(f),
    "map handler": lambda f: wds.map(len, f),
    "select": wds.select,
    "map_dict": lambda f: wds.map_dict(cls=f),
    "map_tuple": lambda f: wds.map_tuple(None, f),
    "associate": wds.associate,
    "decode": wds.decode,
    "decode pre": lambda f: wds.decode(pre=[f]),
    "xdecode": lambda f: wds.xdecode(cls=f),
    "batched": lambda f: wds.batched(2, f),
    "batched handler": lambda f: wds.batched(2, handler=f),
    "unbatched handler": wds.unbatched,
    "a stage": lambda f: wds.DataPipeline([[1]], f),
    "a stage, composed": lambda f: wds.FluidWrapper([1]).compose(f),
    "what a pipeline begins with": wds.DataPipeline,
    "a stage that takes arguments": wds.pipelinefilter,
}


@pytest.mark.parametrize("take", TAKERS.values(), ids=TAKERS)
@pytest.mark.parametrize(
    "function",
    [fetch, generate, partial(fetch, 1), Client(), Client().fetch],
    ids=["function", "generator", "partial", "object", "method"],
)
def test_an_asynchronous_function_is_refused_when_it_is_given(take: Callable[[Any], Any], function: Any) -> None:
    with pytest.raises(SpecError, match=INSTEAD):
        take(function)


def test_so_is_an_asynchronous_stage_or_beginning() -> None:
    with pytest.raises(SpecError, match=INSTEAD):
        wds.DataPipeline([[1]], AsynchronousStage())
    with pytest.raises(SpecError, match="begins with what a plain `for` can iterate over"):
        wds.DataPipeline(generate([1]))
    dataset = wds.DataPipeline([[{"__key__": "a"}]])
    assert list(dataset) == [{"__key__": "a"}]  # what can be iterated both ways is no asynchronous thing
    assert list(wds.DataPipeline(dataset)) == [{"__key__": "a"}]


def test_a_plain_function_that_returns_a_coroutine_is_found_out_when_it_runs() -> None:
    samples = [{"__key__": "a"}]
    with pytest.raises(SpecError, match=f"returned a coroutine.*{INSTEAD}"):
        list(wds.DataPipeline([samples], wds.map(lambda sample: Client().fetch(sample), wds.ignore_and_continue)))
    with pytest.raises(SpecError, match=f"returned a coroutine.*{INSTEAD}"):
        list(wds.DataPipeline([samples], lambda source: Client().fetch(source)))
    with pytest.raises(SpecError, match=f"returned an asynchronous generator.*{INSTEAD}"):
        list(wds.DataPipeline([samples], lambda source: generate(iter(source))))
    with pytest.raises(SpecError, match="Stream; asynchronous stages are not supported"):
        list(wds.DataPipeline([samples], lambda _: Stream()))


SAMPLE = {"__key__": "a", "cls": b"1", "txt": b"2"}

RETURNING: dict[str, Callable[[Any], Any]] = {
    "map": wds.map,
    "select": wds.select,
    "map_dict": lambda f: wds.map_dict(cls=f, txt=f),
    "map_tuple": lambda f: wds.DataPipeline([[(1, 2)]], wds.map_tuple(f, None, f)),
    "associate": wds.associate,
    "xdecode": lambda f: wds.xdecode(cls=f, txt=f),
    "decode": wds.decode,
    "decode decoders": lambda f: wds.decode(decoders={"cls": f}),
    "batched": lambda f: wds.batched(1, f),
    "a handler": lambda f: wds.map(lambda _: 1 / 0, f),
}


@pytest.mark.parametrize("take", RETURNING.values(), ids=RETURNING)
@pytest.mark.parametrize("returned", [fetch, generate], ids=["coroutine", "asynchronous generator"])
def test_what_a_lambda_returns_is_looked_at_when_it_runs(take: Callable[[Any], Any], returned: Any) -> None:
    stage = take(lambda value, *_: returned(value))
    dataset = stage if isinstance(stage, wds.DataPipeline) else wds.DataPipeline([[SAMPLE]], stage)
    with pytest.raises(SpecError, match=f"returned an? .*{INSTEAD}"):
        list(dataset)


@pytest.mark.parametrize("name", ["handler", "select_files"])
def test_so_is_what_the_functions_of_a_source_return(name: str, tmp_path: Path) -> None:
    shard = tmp_path / "a.tar"
    shard.write_bytes(make_shard([SAMPLE]) if name == "select_files" else b"no archive" * 100)
    files = [{"fname": "a.x", "data": b"", "__url__": "u"}] * 2 if name == "handler" else []

    def function(value: Any) -> Any:
        return fetch(value)

    with pytest.raises(SpecError, match=f"returned a coroutine.*{INSTEAD}"):
        list(wds.WebDataset(str(shard), **{name: function}))
    with pytest.raises(SpecError, match=f"returned a coroutine.*{INSTEAD}"):
        list(
            wds.group_by_keys(files, handler=function)
            if files
            else wds.tar_file_expander(wds.url_opener([str(shard)]), select_files=function)
        )


def test_what_the_user_awaits_may_be_in_samples() -> None:
    """Only what the functions of the stages return is looked at, not what samples hold."""
    dataset = wds.DataPipeline([[SAMPLE]], wds.map(lambda sample: {**sample, "later": fetch(3)}))
    for stage in (wds.to_tuple("cls", "later"), wds.map_dict(cls=int), wds.rename(x="later"), wds.select(len)):
        [sample] = wds.DataPipeline(dataset, stage)
        for value in sample.values() if isinstance(sample, dict) else sample:
            if iscoroutine(value):
                assert asyncio.run(value) == 3
                break
        else:
            raise AssertionError(sample)


def test_a_stage_that_returns_nothing_is_an_error_that_says_so() -> None:
    with pytest.raises(SpecError, match="a stage must return an iterator, and .*lambda.* returned NoneType"):
        list(wds.DataPipeline([[1]], lambda _: None))
