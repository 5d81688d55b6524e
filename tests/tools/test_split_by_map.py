"""`split --map`: a table says which shard each key goes to."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from asyncwds.errors import SampleError, SpecError
from asyncwds.testing import FaultServer
from asyncwds.tools import Inputs, Outputs, Selection, split_shards

PAIRS = [("0001", "cats"), ("0003", "dogs"), ("0000", "cats"), ("0004", "dogs"), ("9999", "cats")]


@pytest.fixture
def table(tmp_path: Path) -> Any:
    """Writes the pairs in a form; returns its path."""

    def table(form: str, header: tuple[str, str] | None = ("key", "shard"), pairs: Any = PAIRS) -> str:
        path = tmp_path / f"map.{form}"
        if form == "jsonl":
            path.write_text("".join(json.dumps({"key": key, "more": 1, "shard": shard}) + "\n" for key, shard in pairs))
        elif form == "parquet":
            import pyarrow as pa
            import pyarrow.parquet as pq

            pq.write_table(pa.table({"shard": [shard for _, shard in pairs], "key": [key for key, _ in pairs]}), path)
        else:
            with path.open("w", newline="") as file:
                csv.writer(file, delimiter="\t" if form == "tsv" else ",").writerows([*([header] if header else []), *pairs])
        return str(path)

    return table


def split(shards: list[str], tmp_path: Path, by_map: Any, target: str = "{split}.tar", **options: Any) -> Any:
    outputs = Outputs(target=str(tmp_path / "out" / target), max_count=options.pop("max_count", None))
    return split_shards(Inputs(urls=shards), outputs, by_map=by_map, **options)


def found_in(tmp_path: Path, members_of: Any) -> dict[str, list[str]]:
    return {
        path.name: list(dict.fromkeys(name.partition(".")[0] for name, _ in members_of(path)))
        for path in sorted((tmp_path / "out").iterdir())
    }


@pytest.mark.parametrize(
    ("form", "header"), [("csv", ("key", "shard")), ("csv", None), ("tsv", None), ("jsonl", None), ("parquet", None)]
)
@pytest.mark.needs("pyarrow")
def test_each_sample_goes_where_the_map_says(
    form: str, header: Any, table: Any, numbered: Any, members_of: Any, tmp_path: Path
) -> None:
    report = split([numbered("a.tar", 5)], tmp_path, table(form, header), unmapped="drop")
    assert found_in(tmp_path, members_of) == {"cats.tar": ["0000", "0001"], "dogs.tar": ["0003", "0004"]}
    assert (report.samples_out, report.dropped) == (4, {"not in the map": 1})
    assert report.notes == {"keys of the map without a sample": 1}


def test_keys_that_are_not_in_the_map(numbered: Any, members_of: Any, tmp_path: Path) -> None:
    shard = numbered("a.tar", 5)
    with pytest.raises(SampleError, match=r"no shard for this key.*key=0002"):
        split([shard], tmp_path, dict(PAIRS))
    assert not list((tmp_path / "out").iterdir())
    report = split([shard], tmp_path, dict(PAIRS), "{split}-{shard}.tar", unmapped="rest", max_count=1)
    assert found_in(tmp_path, members_of)["rest-0.tar"] == ["0002"]
    assert len(report.shards) == 5
    assert report.notes["samples that are not in the map, in rest"] == 1


def test_a_map_behind_a_signed_url(table: Any, numbered: Any, members_of: Any, tmp_path: Path) -> None:
    shard, name = numbered("a.tar", 2), Path(table("csv")).name
    with FaultServer(tmp_path) as server:
        split([shard], tmp_path, f"{server.url(name)}?sig=x")
    assert found_in(tmp_path, members_of) == {"cats.tar": ["0000", "0001"]}


def test_more_shards_than_can_be_open(write: Any, members_of: Any, tmp_path: Path) -> None:
    """AIStore's maps have one line a sample, and thousands of shards."""
    keys = [f"{number * 7 % 1051:05d}" for number in range(1051)]
    shards = {key: f"s{int(key) % 520:03d}" for key in keys if key != "00013"}
    report = split([write("a.tar", [(f"{key}.txt", key.encode()) for key in keys])], tmp_path, shards, unmapped="rest")
    found = found_in(tmp_path, members_of)
    assert {key: name for name, keys in found.items() for key in keys} == {key: f"{shards.get(key, 'rest')}.tar" for key in keys}
    assert found["s000.tar"] == sorted(["00000", "00520", "01040"], key=keys.index)
    assert (report.samples_out, report.notes) == (1051, {"samples that are not in the map, in rest": 1})


@pytest.mark.parametrize(
    ("form", "header", "pairs", "error", "words"),
    [
        ("csv", ("uid", "to"), [("a", "x"), ("a", "y")], SpecError, "two shards for the key 'a'"),
        ("csv", None, [("a", "x"), ("b", "x", "z")], SampleError, "line 2 has another number"),
        ("csv", None, [("a", "x", "y")], SpecError, "has the columns key and shard, not 'a, x, y'"),
        ("csv", None, [], SpecError, "has the columns"),
        ("csv", None, [("a", "../x")], SpecError, "cannot be part of the name"),
        ("csv", None, [("a", "x-%d-%d.tar")], SpecError, "cannot be part of the name"),
        ("csv", None, [("a", "x-@0001.tar")], SpecError, "cannot be part of the name"),
        ("dat", None, [("a", "x")], SpecError, "may be anything"),
        ("txt", None, [("a",)], SampleError, "line 1 is no key and shard"),
        ("json", None, [("a", "x")], SampleError, "cannot be read"),
        ("zip", None, [("a", "x")], SpecError, "a map is a csv"),
    ],
)
def test_what_is_no_map(
    form: str, header: Any, pairs: Any, error: Any, words: str, table: Any, numbered: Any, tmp_path: Path
) -> None:
    with pytest.raises(error, match=words):
        split([numbered()], tmp_path, table(form, header, pairs))


LINES = "0001.cls\tcats-%d\n0001.jpg\tcats-%d\n0003.jpg\tdogs-{0008..0010..2}\n0000.jpg\tcats-%d\n0004.jpg\tdogs-{0008..0010..2}\n"
LISTS = {"cats-%d": ["0001.cls", "0000.jpg", "0001.jpg"], "dogs-{0008..0010..2}": ["0003.jpg", "0004"]}


@pytest.mark.parametrize(
    ("name", "text"), [("map.txt", LINES), ("map.txt", LINES.replace("\t", " ")), ("ekm-file.json", json.dumps(LISTS))]
)
def test_maps_of_aistore_with_templates(name: str, text: str, numbered: Any, members_of: Any, tmp_path: Path) -> None:
    """Names of files in place of keys, and shards with a place for their numbers, as dSort's external key maps have them."""
    (tmp_path / name).write_text(text)
    shard = numbered("a.tar", 5)
    split([shard], tmp_path, str(tmp_path / name), unmapped="drop", max_count=1)
    found = {"cats-0.tar": ["0000"], "cats-1.tar": ["0001"], "dogs-0008.tar": ["0003"], "dogs-0010.tar": ["0004"]}
    assert found_in(tmp_path, members_of) == found
    with pytest.raises(SpecError, match=r"dogs-\{8..8\} is for 1 shards, and more are needed"):
        split([shard], tmp_path, {f"000{n}": "dogs-{8..8}" for n in range(5)}, "more/{split}.tar", max_count=1)


def test_one_way_to_make_groups_and_a_place_for_them(numbered: Any, tmp_path: Path) -> None:
    shard = numbered("a.tar", 5)
    with pytest.raises(SpecError, match="one of these"):
        split([shard], tmp_path, {}, by_field="cls")
    with pytest.raises(SpecError, match="{split}"):
        split([shard], tmp_path, {}, "{shard}.tar")
    with pytest.raises(SpecError, match="several shards need a pattern"):
        split([shard], tmp_path, None, "{split}.tar", by_field="cls", max_count=1)
    report = split([shard], tmp_path, None, "{split}.tar", by_field="cls", selection=Selection(limit=2))
    assert [shard["samples"] for shard in report.shards] == [1, 1]
