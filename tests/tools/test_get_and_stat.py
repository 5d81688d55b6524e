"""`get` gives one sample, `stat` says what there is: of plain and compressed shards, local and over HTTP."""

import gzip
import io
import json
import tarfile
from pathlib import Path

import pytest
from click.testing import CliRunner
from command_line import run_asyncwds
from PIL import Image

from asyncwds.cli import main
from asyncwds.errors import NoSuchSampleError, SampleError, SpecError
from asyncwds.testing import FaultServer, make_shard
from asyncwds.tools import Inputs, Selection, get_sample, split_wanted, stat_shards


def image(width, height):
    with io.BytesIO() as file:
        Image.new("RGB", (width, height)).save(file, "JPEG")
        return file.getvalue()


SHARDS = [
    make_shard([{"__key__": f"a/{n}", "jpg": image(8 + n, 6), "txt": b"x" * n} for n in range(5)]),
    make_shard([{"__key__": f"b/{n}", "jpg": image(20, 10)} for n in range(3)]),
]


@pytest.fixture(params=["files", "gzip", "server"])
def inputs(request, tmp_path):
    if request.param == "server":
        with FaultServer({f"{n}.tar": data for n, data in enumerate(SHARDS)}) as server:
            yield Inputs(urls=[server.url("0.tar"), server.url("1.tar")])
        return
    for n, data in enumerate(SHARDS):
        (tmp_path / f"{n}.tar").write_bytes(gzip.compress(data) if request.param == "gzip" else data)
    yield Inputs(urls=[f"{tmp_path}/{{0..1}}.tar"])


def test_a_sample_by_key_and_by_number(inputs):
    assert get_sample(inputs, "a/3")["txt"] == b"xxx"
    assert get_sample(inputs, 6)["__key__"] == "b/1"
    for wanted in ("a/9", 8):
        with pytest.raises(NoSuchSampleError):
            get_sample(inputs, wanted)


def test_what_there_is(inputs):
    found = stat_shards(inputs, deep=100)
    assert [shard["samples"] for shard in found.shards] == [5, 3]
    assert found.samples == 8
    assert found.fields["txt"] == {"samples": 5, "bytes": 10, "mean": 2.0, "min": 0, "median": 2, "p95": 4, "max": 4}
    assert found.field_sets == {"jpg txt": 5, "jpg": 3}
    about = found.images["jpg"]
    assert (about["images"], about["formats"], about["modes"]) == (8, {"JPEG": 8}, {"RGB": 8})
    assert (about["width"]["min"], about["width"]["max"], about["height"]["max"]) == (8, 20, 10)


def test_what_there_is_of_some_samples(inputs):
    found = stat_shards(inputs, Selection(where='key >= "a/3"', fields="jpg"), deep=100)
    assert ([shard["samples"] for shard in found.shards], found.field_sets) == ([2, 3], {"jpg": 5})
    assert found.images["jpg"]["width"]["min"] == 11


def test_what_is_damaged_is_told(tmp_path):
    (tmp_path / "a.tar").write_bytes(SHARDS[0][:4000])
    done = CliRunner().invoke(main, ["stat", f"{tmp_path}/a.tar", "--on-error", "skip", "--json"])
    assert (done.exit_code, json.loads(done.stdout)["samples"]) == (4, 1)
    assert len(json.loads(done.stdout)["damaged"]) == 1
    assert CliRunner().invoke(main, ["stat", f"{tmp_path}/a.tar"]).exit_code == 2


def test_an_image_that_is_none(tmp_path):
    (tmp_path / "a.tar").write_bytes(make_shard([{"__key__": "k", "jpg": b"nothing"}]))
    assert stat_shards(Inputs(urls=[f"{tmp_path}/a.tar"])).samples == 1
    with pytest.raises(SampleError, match="field jpg is no image.*key=k"):
        stat_shards(Inputs(urls=[f"{tmp_path}/a.tar"]), deep=1)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a.b/c.seg.png", ("a.b/c", "seg.png")),
        ("a/b", ("a/b", None)),
        ("#17.jpg", (17, "jpg")),
        ("#-1", (-1, None)),
    ],
)
def test_what_is_asked_for(text, found):
    assert split_wanted(text) == found


def test_a_number_that_is_none():
    with pytest.raises(SpecError):
        split_wanted("#first")


def test_commands(tmp_path):
    (tmp_path / "a.tar").write_bytes(SHARDS[0])
    shard = str(tmp_path / "a.tar")
    done = run_asyncwds("get", shard, "a/2.txt")
    assert (done.returncode, done.stdout_bytes) == (0, b"xx")
    assert run_asyncwds("get", shard, "#0").stdout.startswith("a/0\tjpg:")
    assert run_asyncwds("get", shard, "a/2.png").returncode == 2
    assert run_asyncwds("get", shard, "a/7").returncode == 2
    one = str(tmp_path / "new" / "one.tar")
    assert [run_asyncwds("get", shard, "a/2", "-o", one).returncode for _ in range(2)] == [0, 1]
    assert run_asyncwds("get", shard, "a/2", "-o", "-").stdout_bytes == Path(one).read_bytes()
    with tarfile.open(one) as archive:
        assert [(member.name, member.mtime) for member in archive] == [("a/2.jpg", 0), ("a/2.txt", 0)]
    assert run_asyncwds("get", shard, "a/1.txt", "-o", one, "--force").returncode == 0
    assert Path(one).read_bytes() == b"x"
    lines = run_asyncwds("stat", shard).stdout.splitlines()
    assert lines[0] == "5 samples in 1 shard"
    assert json.loads(run_asyncwds("stat", shard, "--json").stdout)["samples"] == 5
