"""What is in shards, in the forms of `asyncwds ls`: by headers, and of shards as a whole by what is known of them."""

import gzip
import json
from contextlib import closing

import pytest
from click.testing import CliRunner
from tqdm import tqdm

import asyncwds as wds
from asyncwds.cli import main
from asyncwds.testing import FaultServer, make_shard
from asyncwds.tools import group_shards, list_samples

tqdm.monitor_interval = 0  # it is a thread that stays


def fields_of(number):
    return {"jpg": b"x" * (100 + number), "txt": "caption"} if number % 2 else {"jpg": b"x" * 100}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Three shards of 4 samples, and one of another name."""
    for number in range(4):
        name = "other.tar" if number == 3 else f"train-{number:03d}.tar"
        samples = [{"__key__": f"{number}/{n}", **fields_of(n)} for n in range(4)]
        (tmp_path / name).write_bytes(make_shard(samples))
    monkeypatch.chdir(tmp_path)
    return tmp_path


ALL = ["train-{000..002}.tar", "other.tar"]


def ls(*arguments):
    done = CliRunner().invoke(main, ["ls", *arguments])
    assert done.exit_code == 0, done.stderr
    return done.stdout


def test_members_stand_where_it_says(folder):
    """Also behind a header that does not stand at the shard's beginning."""
    data = (folder / "train-001.tar").read_bytes()
    lines = ls("-l", "train-001.tar", "other.tar").splitlines()
    assert (lines[0], lines[7]) == ("train-001.tar:", "other.tar:")
    for line, (number, name) in zip(
        lines[1:7], [(0, "jpg"), (1, "jpg"), (1, "txt"), (2, "jpg"), (3, "jpg"), (3, "txt")], strict=True
    ):
        offset, nbytes, member = line.split()
        value = fields_of(number)[name]
        assert data[int(offset) :][: int(nbytes)] == (value if isinstance(value, bytes) else value.encode())
        assert member == f"1/{number}.{name}"
    first = json.loads(ls("-l", "--json", "train-001.tar").splitlines()[1])
    assert first == {
        "key": "1/1",
        "url": "train-001.tar",
        "fields": {"jpg": {"offset": 1536, "bytes": 101}, "txt": {"offset": 2560, "bytes": 7}},
    }


def test_offsets_in_compressed_shards_are_those_of_what_is_in_them(folder):
    data = (folder / "other.tar").read_bytes()
    (folder / "packed.tar.gz").write_bytes(gzip.compress(data))
    assert ls("-l", "packed.tar.gz").splitlines()[1:] == ls("-l", "other.tar").splitlines()[1:]


TREE = """train-000.tar
├── 0/0
│   └── jpg  100 B
├── 0/1
│   ├── jpg  101 B
│   └── txt  7 B
├── 0/2
│   └── jpg  100 B
└── 0/3
    ├── jpg  103 B
    └── txt  7 B
train-001.tar
└── 1/0
    └── jpg  100 B
"""


def test_a_tree(folder):
    assert ls("--tree", "-n", "5", *ALL) == TREE
    first, second = map(json.loads, ls("--tree", "-n", "5", "--json", *ALL).splitlines())
    assert (first["url"], [sample["key"] for sample in first["samples"]]) == ("train-000.tar", ["0/0", "0/1", "0/2", "0/3"])
    assert second["samples"] == [{"key": "1/0", "fields": {"jpg": 100}}]


def test_fields(folder):
    lines = [line.split() for line in ls("--fields", *ALL).splitlines()]
    assert lines[1] == ["jpg", "16", "100.0%", "1.6", "kB", "100", "B", "101", "B", "103", "B"]
    assert lines[2][:3] == ["txt", "8", "50.0%"]
    assert sorted(lines[4:]) == [["8", "x", "jpg"], ["8", "x", "jpg", "txt"]]
    as_json = json.loads(ls("--fields", "--json", *ALL))
    assert as_json["samples"] == 16
    assert as_json["fields"]["txt"] == {"samples": 8, "bytes": 56, "min": 7, "mean": 7.0, "max": 7}


@pytest.mark.parametrize("cache", [[], ["--cache", "kept"]])
def test_so_many_samples(folder, cache):
    assert ls("--keys", "-n", "5", *ALL, *cache) == "0/0\n0/1\n0/2\n0/3\n1/0\n"
    assert ls("--keys", "-n", "1", "--json", *ALL, *cache) == '"0/0"\n'
    assert ls("-n", "0", *ALL, *cache) == "0 samples in 0 shards\n"
    assert ls("-n", "5", *ALL, *cache).splitlines()[5:7] == [
        "5 samples in 2 shards",
        "  jpg                      5 x     101 B = 504 B",
    ]
    summary = json.loads(ls("-s", "-n", "5", "--json", *ALL, *cache))
    assert (summary["samples"], summary["shards"]) == (5, 2)


def test_few_samples_need_no_other_shards(folder):
    with FaultServer(folder) as server:
        with closing(list_samples([f"{server.url()}train-{{000..002}}.tar"], limit=2)) as samples:
            assert [sample.key for sample in samples] == ["0/0", "0/1"]
        assert server.counters.requests <= 2


def test_shards_in_short(folder):
    lines = [line.split("\t") for line in ls("--shards", *ALL).splitlines()]
    nbytes = (folder / "other.tar").stat().st_size
    assert lines[0] == ["train-{000..002}.tar", "3 shards", "12 samples (4 each)", f"{3 * nbytes / 1000:.1f} kB", "by headers"]
    assert lines[1] == ["other.tar", "1 shard", "4 samples", f"{nbytes / 1000:.1f} kB", "by headers"]
    assert lines[2] == ["16 samples in 4 shards"]
    first = json.loads(ls("--shards", "--json", *ALL).splitlines()[0])
    assert first == {
        "pattern": "train-{000..002}.tar",
        "shards": 3,
        "samples": 12,
        "fewest": 4,
        "most": 4,
        "bytes": 3 * nbytes,
        "known_by": {"headers": 3},
    }


def test_what_is_known_of_shards_is_not_read_again(folder):
    """By a manifest without a look at the shards, by an index that is kept beside them."""
    with wds.ShardWriter("new-%02d.tar", maxcount=3, manifest="new.json") as sink:
        for number in range(7):
            sink.write({"__key__": f"{number}", "txt": "x"})
    sizes = [path.stat().st_size for path in sorted(folder.glob("new-*.tar"))]
    for path in folder.glob("new-*.tar"):
        path.write_bytes(b"no shard")
    (group,) = group_shards(["new.json"])
    assert (group.pattern.removeprefix(f"{folder}/"), group.shards, group.samples) == ("new-{00..02}.tar", 3, 7)
    assert (group.fewest, group.most, group.nbytes, group.known_by) == (1, 3, sum(sizes), {"manifest": 3})
    assert CliRunner().invoke(main, ["index", "train-{000..001}.tar"]).exit_code == 0
    (folder / "train-001.tar").write_bytes(b"no shard")
    assert ls("--shards", "train-{000..002}.tar").split("\t")[-1].startswith("by headers, index\n")


@pytest.mark.parametrize(
    ("arguments", "words"), [(["-0", "--json"], "-0 goes without"), (["--shards", "-n", "3"], "of whole shards")]
)
def test_options_that_make_no_sense(arguments, words):
    done = CliRunner().invoke(main, ["ls", "a.tar", *arguments])
    assert (done.exit_code, words in done.stderr) == (1, True)
