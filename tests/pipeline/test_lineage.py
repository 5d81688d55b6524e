"""An error in a user's function names stage, shard and key behind every stage, and of our frames one is above theirs."""

from __future__ import annotations

import pickle
import re
import traceback
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

import asyncwds as wds
from asyncwds.testing import make_shard

SAMPLES = 12
BAD = 7  # the sample whose value no function here can take
PACKAGE = str(Path(wds.__file__).parent)


@pytest.fixture
def shard(tmp_path: Path) -> str:
    path = tmp_path / "a.tar"
    path.write_bytes(make_shard([{"__key__": f"k{n}", "cls": str(n)} for n in range(SAMPLES)]))
    return str(path)


def number(value: Any) -> int:
    if value == b"7":
        raise ValueError("seven")
    return int(value)


def number_of_sample(sample: Any) -> dict[str, Any]:
    return {**sample, "cls": number(sample["cls"])}


def numbers_of_batch(batch: Any) -> list[int]:
    return [number(value) for (value,) in batch]


def number_of_tuple(item: Any) -> int:
    return number(item[0])


def prompt(items: Iterator[Any]) -> Iterator[Any]:
    yield from items


def in_pairs(items: Iterator[Any]) -> Iterator[list[Any]]:
    while pair := list(islice(items, 2)):
        yield pair


def failing(items: Iterator[Any]) -> Iterator[Any]:
    for item in items:
        yield number_of_tuple(item)


class Failing(wds.PipelineStage):
    def run(self, src: Iterator[Any]) -> Iterator[Any]:
        return (number_of_tuple(item) for item in src)


def collated(batch: Any) -> Any:
    return numbers_of_batch(batch)


def without_origin(sample: Any) -> dict[str, Any]:
    return dict(sample)


def mixed(*stages: Any) -> Callable[[str], Any]:
    def make(shard: str) -> Any:
        return wds.FluidWrapper(wds.RoundRobin([wds.WebDataset(shard).compose(*stages), [(b"1",)] * 20]))

    return make


TO_TUPLE = wds.to_tuple("cls")
ONE = "sample 'k7' of {shard} at offset {offset}"
PAIR = "samples 'k6', 'k7' of {shard}"
BEHIND: dict[str, tuple[Callable[[str], Any], str, str]] = {
    "map": (lambda shard: wds.WebDataset(shard).map(number_of_sample), "map(number_of_sample)", ONE),
    "select": (lambda shard: wds.WebDataset(shard).select(number_of_sample), "select(number_of_sample)", ONE),
    "map_dict": (lambda shard: wds.WebDataset(shard).map_dict(cls=number), "map_dict(cls)", ONE),
    "a dict": (lambda shard: wds.WebDataset(shard).map(without_origin).map(number_of_sample), "map(number_of_sample)", ONE),
    "rename": (lambda shard: wds.WebDataset(shard).rename(x="cls").map_dict(x=number), "map_dict(x)", ONE),
    "to_tuple": (lambda shard: wds.WebDataset(shard).to_tuple("cls").map_tuple(number), "map_tuple(number)", ONE),
    "map_tuple": (lambda shard: wds.WebDataset(shard).to_tuple("cls").map_tuple(bytes).map_tuple(number), "map_tuple(number)", ONE),
    "slice": (lambda shard: wds.WebDataset(shard).to_tuple("cls").slice(10).map(number_of_tuple), "map(number_of_tuple)", ONE),
    "shuffle": (lambda shard: wds.WebDataset(shard).to_tuple("cls").shuffle(5).map(number_of_tuple), "map(number_of_tuple)", ONE),
    "detshuffle": (lambda shard: wds.WebDataset(shard).to_tuple("cls").detshuffle(5).map_tuple(number), "map_tuple(number)", ONE),
    "listed": (lambda shard: wds.WebDataset(shard).to_tuple("cls").listed(2).map(numbers_of_batch), "map(numbers_of_batch)", PAIR),
    "batched": (lambda shard: wds.WebDataset(shard).to_tuple("cls").batched(2, collated), "batched(2)", PAIR),
    "unlisted": (
        lambda shard: wds.WebDataset(shard).to_tuple("cls").listed(2).unlisted().map(number_of_tuple),
        "map(number_of_tuple)",
        PAIR,
    ),
    "a function": (lambda shard: wds.WebDataset(shard).compose(TO_TUPLE, prompt).map(number_of_tuple), "map(number_of_tuple)", ONE),
    "pairs": (lambda shard: wds.WebDataset(shard).compose(TO_TUPLE, in_pairs).map(numbers_of_batch), "map(numbers_of_batch)", PAIR),
    "in a function": (lambda shard: wds.WebDataset(shard).compose(TO_TUPLE, failing), "failing", ONE),
    "in a class": (lambda shard: wds.WebDataset(shard).compose(TO_TUPLE, Failing()), "Failing", ONE),
    "in a composition": (
        lambda shard: wds.WebDataset(shard).compose(wds.filters.compose(TO_TUPLE, wds.shuffle(5), failing)),
        "failing",
        ONE,
    ),
    "in a mix": (mixed(TO_TUPLE, wds.map_tuple(number)), "map_tuple(number)", ONE),
    "behind a mix": (lambda shard: mixed(TO_TUPLE)(shard).map_tuple(number), "map_tuple(number)", ONE),
    "behind a dataset": (
        lambda shard: wds.DataPipeline(wds.WebDataset(shard).to_tuple("cls"), wds.map_tuple(number)),
        "map_tuple(number)",
        ONE,
    ),
}


@pytest.mark.parametrize("name", BEHIND)
async def test_an_error_says_where_it_was(shard: str, name: str) -> None:
    make, stage, samples = BEHIND[name]
    offsets = {sample["__key__"]: sample.origin.offset for sample in wds.WebDataset(shard)}
    expected = f"in stage {stage}, {samples.format(shard=shard, offset=offsets['k7'])}"
    errors: list[ValueError] = []
    with pytest.raises(ValueError, match="seven") as caught:
        list(make(shard))
    errors.append(caught.value)
    with pytest.raises(ValueError, match="seven") as caught:
        async for _ in make(shard):
            pass
    errors.append(caught.value)
    for error in errors:
        assert error.__notes__[0] == expected
        assert len([note for note in error.__notes__ if note.startswith("in stage")]) == 1
        assert pickle.loads(pickle.dumps(error)).__notes__ == error.__notes__
        frames = traceback.extract_tb(error.__traceback__)
        assert frames[-1].name == "number"
        assert len([frame for frame in frames if frame.filename.startswith(PACKAGE)]) == 1


def test_the_error_of_a_stage_before_is_not_that_of_a_function_behind_it(shard: str) -> None:
    dataset = wds.WebDataset(shard).to_tuple("cls").map_tuple(number).compose(prompt, in_pairs)
    with pytest.raises(ValueError, match="seven") as caught:
        list(dataset)
    (note,) = caught.value.__notes__
    assert note.startswith("in stage map_tuple(number), sample 'k7'")


def test_many_samples_are_named_by_the_first(shard: str) -> None:
    with pytest.raises(ValueError, match="seven") as caught:
        list(wds.WebDataset([shard, shard]).to_tuple("cls").listed(2 * SAMPLES).map(numbers_of_batch))
    (note,) = caught.value.__notes__
    assert re.search(r"samples 'k0', 'k1', 'k2' and 21 more of \S+/a\.tar$", note)


def hoarding(items: Iterator[Any]) -> Iterator[Any]:
    yield from list(items)


def twice(items: Iterator[Any]) -> Iterator[Any]:
    for item in items:
        yield item
        yield item


def fail_late(items: Iterator[Any]) -> Iterator[Any]:
    yield next(items)
    yield [number_of_tuple(item) for item in islice(items, BAD)]


def test_a_function_that_takes_more_is_said_to_have_taken_it(shard: str) -> None:
    behind = {
        hoarding: "map(number_of_tuple), samples 'k0', 'k1', 'k2' and 9 more of",
        twice: "map(number_of_tuple), sample 'k7' of",
        fail_late: "fail_late, samples 'k1', 'k2', 'k3' and 4 more of",
    }
    for stage, expected in behind.items():
        with pytest.raises(ValueError, match="seven") as caught:
            list(wds.WebDataset(shard).compose(TO_TUPLE, stage).map(number_of_tuple))
        assert caught.value.__notes__[0].startswith(f"in stage {expected}")


def test_what_nobody_knows_is_left_out() -> None:
    with pytest.raises(ValueError, match="seven") as caught:
        list(wds.DataPipeline([[(b"7",)]], wds.map_tuple(number)))
    assert caught.value.__notes__ == ["in stage map_tuple(number)"]


def test_secrets_of_urls_are_left_out(tmp_path: Path) -> None:
    from asyncwds.storage import MemoryFetcher

    url = "https://host/a.tar?X-Amz-Signature=secret"
    objects = {url: make_shard([{"__key__": "k7", "cls": "7"}])}
    dataset = wds.WebDataset(url, fetcher=lambda: MemoryFetcher(objects)).to_tuple("cls").map_tuple(number)
    with pytest.raises(ValueError, match="seven") as caught:
        list(dataset)
    assert "secret" not in caught.value.__notes__[0]
    assert "https://host/a.tar" in caught.value.__notes__[0]


def test_an_error_of_ours_keeps_its_frames(shard: str) -> None:
    with pytest.raises(wds.errors.SampleError) as caught:
        list(wds.WebDataset(shard).to_tuple("missing"))
    assert traceback.extract_tb(caught.value.__traceback__)[-1].name == "getfirst"
