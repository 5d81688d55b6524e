"""A handler means the same in every stage, and what it skips is counted."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import asyncwds as wds
from asyncwds import WebDataset, ignore_and_continue, ignore_and_stop, warn_and_continue, xdecode
from asyncwds.errors import DecodeError, SpecError
from asyncwds.pipeline import handled
from asyncwds.testing import make_shard

TEXTS = ["0", "1", "x", "3", "y", "5"]


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    """Six samples, of which the third and the fifth hold no number."""
    path = tmp_path / "a.tar"
    path.write_bytes(make_shard([{"__key__": f"k{n}", "cls": text} for n, text in enumerate(TEXTS)]))
    return path


def to_number(sample: dict[str, Any]) -> Any:
    return {"cls": int(sample["cls"])}


def int_of_stream(stream: Any) -> int:
    return int(stream.read())


EVERY_STAGE = {
    "map": lambda handler: [wds.map(to_number, handler)],
    "select": lambda handler: [wds.select(lambda sample: int(sample["cls"]) >= 0, handler)],
    "decode": lambda handler: [wds.decode(handler=handler)],
    "xdecode": lambda handler: [xdecode(cls=int_of_stream, handler=handler)],
    "map_tuple": lambda handler: [wds.to_tuple("cls"), wds.map_tuple(int, handler=handler)],
    "to_tuple": lambda handler: [wds.map(dropped), wds.to_tuple("cls", handler=handler)],
    "rename": lambda handler: [wds.map(dropped), wds.rename(number="cls", handler=handler)],
}


def dropped(sample: dict[str, Any]) -> Any:
    return sample if sample["cls"].isdigit() else {}


@pytest.mark.parametrize("make", EVERY_STAGE.values(), ids=EVERY_STAGE)
def test_what_every_stage_skips_is_counted(shard: Path, make: Any) -> None:
    dataset = WebDataset(shard).compose(*make(ignore_and_continue))
    assert sum(1 for _ in dataset) == 4
    assert (dataset.stats().samples, dataset.stats().samples_failed) == (6, 2)
    assert sum(1 for _ in dataset) == 4
    assert dataset.stats().samples_failed == 2  # of the latest iteration
    dataset = WebDataset(shard).compose(*make(ignore_and_stop))
    assert sum(1 for _ in dataset) == 2
    assert dataset.stats().samples_failed == 1


async def test_the_same_with_async_for(shard: Path) -> None:
    dataset = WebDataset(shard).decode(handler=ignore_and_continue)
    assert [sample["cls"] async for sample in dataset] == [0, 1, 3, 5]
    assert dataset.stats().samples_failed == 2


def test_fault_27_an_undecodable_field_raises_or_is_skipped_with_its_place(shard: Path) -> None:
    with pytest.raises(DecodeError) as caught:
        list(WebDataset(shard).decode())
    error = caught.value
    assert (error.url, error.key, error.field) == (str(shard), "k2", "cls")
    assert error.offset == 2 * 1024
    with pytest.warns(UserWarning, match=r"field 'cls' cannot be decoded.*key=k[24]") as warned:
        assert len(list(WebDataset(shard).decode(handler=warn_and_continue))) == 4
    assert len(warned) == 2


def test_fault_25_dots_in_folders_and_names_and_upper_case(tmp_path: Path) -> None:
    """The key ends at the first dot of the last part of the name; extensions are compared in lower case."""
    path = tmp_path / "a.tar"
    fields = {"seg.PNG": b"not an image", "A.Json": b"[1]", "JSON.gz.txt": b"x"}
    path.write_bytes(make_shard([{"__key__": "v1.0/é", **fields}]))
    (sample,) = WebDataset(path).decode()
    assert sample["__key__"] == "v1.0/é"
    assert (sample["a.json"], sample["json.gz.txt"]) == ([1], "x")
    with pytest.raises(DecodeError) as caught:
        list(WebDataset(path).decode("rgb8"))
    assert (caught.value.field, caught.value.key) == ("seg.png", "v1.0/é")


def test_a_mistake_in_the_pipeline_is_nothing_to_skip(shard: Path) -> None:
    dataset = WebDataset(shard).to_tuple("cls").decode(handler=ignore_and_continue)
    with pytest.raises(SpecError, match="before to_tuple"):
        list(dataset)
    assert dataset.stats().samples_failed == 0


def test_a_missing_library_is_nothing_to_skip(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(make_shard([{"__key__": "k", "cbor": b"\xf6"}, {"__key__": "l", "cbor": b"\xf6"}]))
    code = """
import sys
sys.modules.update(cbor2=None)
import asyncwds as wds
dataset = wds.WebDataset(sys.argv[1]).decode(handler=wds.ignore_and_continue)
try:
    list(dataset)
except wds.errors.SpecError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "a.tar"], check=True, capture_output=True, text=True)
    assert "pip install 'asyncwds[cbor]'" in done.stdout


@dataclass(frozen=True)
class Inverted:
    """A stage of a user's that has a handler."""

    handler: Any

    def __call__(self, samples: Any) -> Any:
        for sample in samples:
            try:
                yield 1 / int(sample["cls"])
            except Exception as error:
                if not handled(error, self.handler, "inverted", sample):
                    return


def test_what_a_stage_of_ones_own_skips_is_counted(shard: Path) -> None:
    stage = Inverted(ignore_and_continue)
    dataset = WebDataset(shard, empty_check=False).compose(stage)
    assert len(list(dataset)) + dataset.stats().samples_failed == len(list(WebDataset(shard)))
    assert dataset.stats().samples_failed > 0
    assert stage == Inverted(ignore_and_continue)
