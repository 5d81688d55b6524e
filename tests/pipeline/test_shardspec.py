from __future__ import annotations

import pytest

import asyncwds as wds
from asyncwds import MultiShardSample, SimpleShardList, WorkerInfo, shardspec
from asyncwds.errors import SpecError
from asyncwds.testing import make_shard

SPEC = {
    "prefix": "s3://",
    "buckets": "main",
    "datasets": [
        {"name": "a", "shards": "a-{0..9}.tar", "choose": 3},
        {"buckets": ["other"], "shards": ["b-{0..1}.tar", "c.tar"], "resample": 5},
        {"name": "all", "shards": ["d-{0..3}.tar"]},
    ],
}

YAML = """
prefix: s3://
buckets: main
datasets:
  - name: a
    shards: a-{0..9}.tar
    choose: 3
  - buckets: [other]
    shards: [ 'b-{0..1}.tar', c.tar ]
    resample: 5
  - name: all
    shards: [ 'd-{0..3}.tar' ]
"""


def test_the_sources():
    a, other, everything = MultiShardSample(SPEC).sources
    assert tuple(a.urls) == tuple([f"s3://main/a-{n}.tar" for n in range(10)])
    assert (a.name, a.perepoch, a.resample) == ("a", 3, None)
    assert tuple(other.urls) == ("s3://other/b-0.tar", "s3://other/b-1.tar", "s3://other/c.tar")
    assert (other.name, other.perepoch, other.resample) == ("@other", None, 5)
    assert (everything.perepoch, everything.resample) == (None, None)
    (commands,) = MultiShardSample({"prefix": "s3://", "datasets": [{"shards": ["pipe:cat '{a,b}.tar'"]}]}).sources
    assert tuple(commands.urls) == ("pipe:cat '{a,b}.tar'",)
    assert repr(MultiShardSample(SPEC)) == "MultiShardSample(a, @other, all)"


def test_an_epoch_has_as_many_shards_of_each_as_the_spec_says():
    sample = MultiShardSample(SPEC)
    epochs = []
    for epoch in range(4):
        sample.set_epoch(epoch)
        shards = sample.get_shards_for_epoch()
        assert [item["url"] for item in sample] == shards
        epochs.append(tuple(shards))
        a, b, d = ([shard for shard in shards if f"/{name}" in shard] for name in ("main/a", "other/", "main/d"))
        assert len(set(a)) == len(a) == 3
        assert len(b) == 5
        assert sorted(d) == [f"s3://main/d-{n}.tar" for n in range(4)]
    assert len(set(epochs)) == 4


def test_without_a_seed_or_epoch_the_choice_is_drawn_once():
    sample = MultiShardSample(SPEC)
    assert sample.get_shards_for_epoch() == sample.get_shards_for_epoch()
    assert len({tuple(MultiShardSample(SPEC).get_shards_for_epoch()) for _ in range(5)}) > 1


def test_in_a_pipeline_it_is_the_same_at_every_place():
    sample = MultiShardSample(SPEC)
    orders = [sample.bound(1, epoch, WorkerInfo(rank, 2)) for epoch in (0, 1) for rank in (0, 1)]
    assert orders[0] == orders[1] != orders[2] == orders[3]
    sample.set_epoch(1)
    assert sample.bound(77, 0, WorkerInfo()) == list(sample)


@pytest.mark.needs("yaml")
def test_a_file(tmp_path):
    (tmp_path / "spec.yaml").write_text(YAML)
    assert shardspec(f"{tmp_path}/spec.yaml").sources == MultiShardSample(SPEC).sources
    assert MultiShardSample(tmp_path / "spec.yaml").sources == MultiShardSample(SPEC).sources
    (tmp_path / "spec.yml").write_text("datasets: [")
    with pytest.raises(SpecError, match="cannot be read"):
        shardspec(f"{tmp_path}/spec.yml")
    with pytest.raises(SpecError, match="cannot be read"):
        shardspec(f"{tmp_path}/missing.yaml")


def test_a_pattern_is_a_simple_list():
    assert isinstance(shardspec("a-{0..3}.tar"), SimpleShardList)


def test_variables_and_home(monkeypatch):
    monkeypatch.setenv("ROOT", "/data")
    monkeypatch.setenv("HOME", "/home/me")
    spec = {"prefix": "~/", "datasets": [{"buckets": "$ROOT", "shards": "$ROOT.tar"}]}
    assert tuple(MultiShardSample(spec).sources[0].urls) == ("/home/me//data.tar",)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({}, "must have a list `datasets`"),
        ({"datasets": []}, "must have a list `datasets`"),
        ({"datasets": [3]}, "data set 0 of the spec must be a mapping"),
        ({"datasets": [{}]}, "must have `shards`"),
        ({"datasets": [{"shards": "a"}], "bucket": "x"}, "unknown keys: bucket"),
        ({"datasets": [{"shards": "a", "perepoch": 1}]}, "unknown keys: perepoch"),
        ({"datasets": [{"shards": "a", "buckets": ["x", "y"]}]}, "must have one bucket"),
        ({"datasets": [{"shards": "a-{0..1}", "choose": 3}]}, "choose 3 of 2"),
        ({"datasets": [{"shards": "a", "choose": 1, "resample": 1}]}, "both"),
        ({"datasets": [{"shards": "a", "choose": "all"}]}, "must be a whole number"),
    ],
)
def test_specs_that_make_no_sense(spec, message):
    with pytest.raises(SpecError, match=message):
        MultiShardSample(spec)


def test_a_dataset_of_a_spec_is_split_and_reproducible(tmp_path, monkeypatch):
    for name in ("a0", "a1", "a2", "a3", "b0", "b1"):
        (tmp_path / f"{name}.tar").write_bytes(make_shard([{"__key__": name, "txt": "x"}]))
    spec = {
        "prefix": f"{tmp_path}/",
        "datasets": [{"shards": "a{0..3}.tar", "choose": 2}, {"shards": "b{0..1}.tar", "resample": 4}],
    }

    def keys(**options):
        return [sample["__key__"] for sample in wds.WebDataset(spec, seed=3, nodesplitter=wds.split_by_node, **options)]

    whole = keys()
    assert len(whole) == 6
    parts = []
    for rank in range(2):
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", "2")
        parts.append(keys())
    assert [key for pair in zip(*parts, strict=True) for key in pair] == whole
    dataset = wds.WebDataset(spec, seed=3, nodesplitter=None)
    assert [sample["__key__"] for sample in dataset] == whole
    assert [sample["__key__"] for sample in dataset] != whole
