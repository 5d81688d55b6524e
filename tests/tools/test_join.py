"""`join`: fields by key, from shards and tables, whatever their order; nothing is lost in silence."""

import json
import random

import pytest

import asyncwds as wds
from asyncwds.errors import SampleError, SpecError
from asyncwds.testing import make_shard
from asyncwds.tools import Inputs, OtherSide, Outputs, Selection, join_shards


@pytest.fixture
def left(tmp_path):
    path = tmp_path / "left.tar"
    path.write_bytes(make_shard([{"__key__": f"{n:03}", "json": json.dumps({"uid": f"u{n}", "w": n}).encode()} for n in range(20)]))
    return path


def shuffled(numbers):
    found = list(numbers)
    random.Random(1).shuffle(found)
    return found


def run(left, other, **options):
    """(report, samples)"""
    out = left.parent / "out.tar"
    inputs = Inputs(urls=[str(left)], memory=options.pop("memory", 1 << 20))
    report = join_shards(inputs, other, Outputs(target=str(out), force=True), **options)
    return report, list(wds.WebDataset(str(out), shardshuffle=False, empty_check=False))


@pytest.mark.parametrize("order", [list, shuffled])
@pytest.mark.parametrize("memory", [1, 1 << 20])
def test_fields_of_other_shards(left, order, memory):
    right = left.parent / "right.tar"
    right.write_bytes(make_shard([{"__key__": f"{n:03}", "jpg": bytes([n]) * 700, "txt": b"t"} for n in order(range(5, 25))]))
    report, samples = run(left, OtherSide(urls=[str(right)], columns=["jpg"]), memory=memory)
    assert [(sample["__key__"], sample["jpg"]) for sample in samples] == [(f"{n:03}", bytes([n]) * 700) for n in range(5, 20)]
    assert "txt" not in samples[0]
    assert dict(report.dropped) == {"not on the other side": 5}
    assert dict(report.left_out) == {"of the other side, which no sample asked for": 5}
    assert len(run(left, OtherSide(urls=[str(right)]), how="left")[1]) == 20


def test_columns_of_a_table(left):
    table = left.parent / "captions.jsonl"
    table.write_text(
        "".join(json.dumps({"uid": f"u{n}", "caption": f"c{n}" if n % 2 else "", "x": n}) + "\n" for n in shuffled(range(20)))
    )
    other = OtherSide(urls=[str(table)], on="uid", columns=["caption"])
    selection = Selection(where='json.w >= 4 and caption != ""')
    report, samples = run(left, other, on="json.uid", selection=selection)
    assert [(sample["__key__"], sample["caption.txt"]) for sample in samples] == [
        (f"{n:03}", f"c{n}".encode()) for n in range(5, 20, 2)
    ]
    assert dict(report.dropped) == {"where": 12}


def test_members_that_are_not_changed_are_copied(left):
    right = left.parent / "right.tar"
    right.write_bytes(make_shard([{"__key__": f"{n:03}", "txt": b"t"} for n in range(20)]))
    run(left, OtherSide(urls=[str(right)]))
    written = (left.parent / "out.tar").read_bytes()
    assert left.read_bytes()[:1024] in written
    assert right.read_bytes()[:1024] in written


def test_a_field_that_both_have(left):
    right = left.parent / "right.tar"
    right.write_bytes(make_shard([{"__key__": f"{n:03}", "json": b'{"right": 1}'} for n in range(20)]))
    other = OtherSide(urls=[str(right)])
    with pytest.raises(SampleError, match="both sides of the join have the field 'json'"):
        run(left, other)
    assert run(left, other, conflict="right")[1][0]["json"] == b'{"right": 1}'
    assert json.loads(run(left, other, conflict="left")[1][0]["json"]) == {"uid": "u0", "w": 0}


def test_keys_that_come_twice(left):
    table = left.parent / "t.jsonl"
    table.write_text('{"key": "000", "a": "1"}\n{"key": "000", "a": "2"}\n')
    with pytest.raises(SampleError, match="twice on the right side"):
        run(left, OtherSide(urls=[str(table)]))


@pytest.mark.parametrize(
    ("other", "options"), [({"kind": "dir"}, {}), ({}, {"how": "outer"}), ({}, {"conflict": "both"}), ({"on": "no"}, {})]
)
def test_options_that_make_no_sense(left, other, options):
    table = left.parent / "t.jsonl"
    table.write_text('{"key": "000", "a": "1"}\n')
    with pytest.raises(SpecError):
        run(left, OtherSide(urls=[str(table)], **other), **options)


def test_an_output_for_each_shard_and_one_table_for_all(left, tmp_path):
    (tmp_path / "b.tar").write_bytes(make_shard([{"__key__": f"{n:03}", "cls": b"1"} for n in range(20, 30)]))
    (tmp_path / "table.csv").write_text("key,word\n" + "".join(f"{n:03},w{n}\n" for n in shuffled(range(10, 40))))
    other = OtherSide(urls=[str(tmp_path / "table.csv")])
    inputs, outputs = Inputs(urls=[str(left), str(tmp_path / "b.tar")]), Outputs(target=f"{tmp_path}/{{shard}}.tar", resume=True)
    report = join_shards(inputs, other, outputs)
    assert [shard["samples"] for shard in report.shards] == [10, 10]
    assert dict(report.left_out) == {"of the other side, which no sample asked for": 10}
    (tmp_path / "1.tar").unlink()
    resumed = join_shards(inputs, other, outputs)
    assert (resumed.samples_in, resumed.samples_out, resumed.shards) == (30, 20, report.shards)
    assert "earlier run" in resumed.notes["of the other side"]
    assert next(iter(wds.WebDataset(f"{tmp_path}/1.tar", shardshuffle=False)))["word.txt"] == b"w20"
