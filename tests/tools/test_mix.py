"""`mix` writes samples of several sources, by their weights."""

import json

import pytest
from click.testing import CliRunner

import asyncwds as wds
from asyncwds.cli import main
from asyncwds.errors import SpecError
from asyncwds.testing import make_shard
from asyncwds.tools import Inputs, MixSource, Outputs, load_sources, mix_shards


@pytest.fixture
def sources(tmp_path):
    for name, count in (("a", 30), ("b", 6)):
        (tmp_path / f"{name}.tar").write_bytes(make_shard([{"__key__": f"{name}{n:02}", "txt": b"x"} for n in range(count)]))
    return [MixSource(urls=[str(tmp_path / f"{name}.tar")], weight=weight) for name, weight in (("a", 2.0), ("b", 1.0))]


def run(tmp_path, sources, **options):
    report = mix_shards(Inputs(urls=[]), sources, Outputs(target=str(tmp_path / "out.tar"), force=True), **options)
    return report, [sample["__key__"] for sample in wds.WebDataset(str(tmp_path / "out.tar"), shardshuffle=False)]


def test_nothing_is_lost(tmp_path, sources):
    """tarmix ended with the source that ended first."""
    report, keys = run(tmp_path, sources, seed=5)
    assert sorted(keys) == [f"a{n:02}" for n in range(30)] + [f"b{n:02}" for n in range(6)]
    assert keys != sorted(keys)
    assert report.notes == {"samples of each source": [30, 6]}
    assert run(tmp_path, sources, seed=5)[1] == keys


def test_the_first_and_the_longest(tmp_path, sources):
    assert len(run(tmp_path, sources, stop="first")[1]) < 36
    keys = run(tmp_path, sources, stop="longest")[1]
    assert [key for key in keys if key[0] == "a"] == [f"a{n:02}" for n in range(30)]
    again = [key for key in keys if key[0] == "b"]
    assert again[:8] == [*(f"b{n:02}" for n in range(6)), "b00-1", "b01-1"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("s.toml", '[[sources]]\nshards = "a-{0..1}.tar"\nweight = 3\n[[sources]]\nshards = ["b.tar", "c.tar"]\n'),
        ("s.json", '{"sources": [{"shards": "a-{0..1}.tar", "probability": 3}, {"shards": ["b.tar", "c.tar"], "name": "b"}]}'),
    ],
)
def test_lists_of_sources(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    assert load_sources(str(tmp_path / name)) == [MixSource(urls=["a-{0..1}.tar"], weight=3.0), MixSource(urls=["b.tar", "c.tar"])]


def test_samples_are_chosen_in_each_source_or_in_all(tmp_path, sources):
    entries = [
        {"shards": str(tmp_path / "a.tar"), "where": 'key < "a03"', "rename": {"text": "txt"}},
        {"shards": str(tmp_path / "b.tar")},
    ]
    (tmp_path / "s.json").write_text(json.dumps({"sources": entries}))
    report, keys = run(tmp_path, load_sources(str(tmp_path / "s.json")), limit=8)
    assert len(keys) == 8 == report.samples_out
    assert {key for key in keys if key[0] == "a"} <= {"a00", "a01", "a02"}
    command = ["mix", str(tmp_path / "s.json"), "-o", str(tmp_path / "out.tar"), "--force"]
    assert CliRunner().invoke(main, [*command, "--where", "True"]).exit_code == 1
    assert CliRunner().invoke(main, [*command, "-n", "4", "--seed", "2"]).exit_code == 0
    shards = [str(tmp_path / "a.tar"), str(tmp_path / "b.tar")]
    done = CliRunner().invoke(main, ["mix", *shards, *command[2:], "--where", 'like(key, "*0")', "--json"])
    assert json.loads(done.stdout)["samples_out"] == 4
    assert CliRunner().invoke(main, ["mix", *shards, *command[2:], "--slice", "3"]).exit_code == 1


@pytest.mark.parametrize("text", ["", "sources = 1", "[[sources]]\nweight = 1", '[[sources]]\nshards = "a"\nnrepeats = 2', "["])
def test_lists_that_are_none(tmp_path, text):
    (tmp_path / "s.toml").write_text(text)
    with pytest.raises(SpecError):
        load_sources(str(tmp_path / "s.toml"))
