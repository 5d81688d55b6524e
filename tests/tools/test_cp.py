"""`cp`: whole, the same bytes, and nothing that was not asked for is replaced."""

import hashlib
import json

import pytest

import asyncwds as wds
from asyncwds.errors import ChecksumError, FetchError, NotFoundError, SpecError
from asyncwds.testing import Fault, FaultServer, make_shard
from asyncwds.tools import Inputs, copy_shards

SHARDS = {f"{n}.tar": make_shard([{"__key__": f"{n}", "bin": bytes([n]) * 100_000}]) for n in range(5)}


@pytest.fixture
def bucket():
    with FaultServer(SHARDS) as server:
        yield server


def inputs(server, **options):
    return Inputs(urls=[server.url(name) for name in SHARDS], **options)


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_from_a_server_to_a_folder(bucket, tmp_path):
    bucket.add(Fault(path="2.tar", status=503, times=2))
    report = copy_shards(inputs(bucket), f"{tmp_path}/", jobs=3, verify=True)
    assert files(tmp_path) == SHARDS
    assert [shard["sha256"] for shard in report.shards] == [hashlib.sha256(data).hexdigest() for data in SHARDS.values()]


def test_from_a_folder_to_a_server(tmp_path):
    for name, data in SHARDS.items():
        (tmp_path / name).write_bytes(data)
    with FaultServer({}, writable=True) as server:
        copy_shards(Inputs(urls=[f"{tmp_path}/*.tar"]), server.url("out/"))
        (tmp_path / "back").mkdir()
        copy_shards(Inputs(urls=[server.url(f"out/{name}") for name in SHARDS]), f"{tmp_path}/back/")
    assert files(tmp_path / "back") == SHARDS


def test_names_by_a_pattern_and_one_file(bucket, tmp_path):
    copy_shards(inputs(bucket), f"{tmp_path}/x-{{shard:03d}}.tar")
    copy_shards(inputs(bucket), f"{tmp_path}/y-{{name}}.tar")
    assert (tmp_path / "x-004.tar").read_bytes() == (tmp_path / "y-4.tar").read_bytes() == SHARDS["4.tar"]
    copy_shards(Inputs(urls=[bucket.url("1.tar")]), f"{tmp_path}/one.tar")
    assert (tmp_path / "one.tar").read_bytes() == SHARDS["1.tar"]


def test_what_is_there(bucket, tmp_path):
    (tmp_path / "1.tar").write_bytes(SHARDS["1.tar"])
    (tmp_path / "3.tar").write_bytes(b"another")
    with pytest.raises(SpecError, match="there is such a shard already"):
        copy_shards(inputs(bucket), f"{tmp_path}/")
    report = copy_shards(inputs(bucket), f"{tmp_path}/", resume=True)
    assert files(tmp_path) == SHARDS
    assert {f"{tmp_path}/1.tar"} <= set(report.there) <= {f"{tmp_path}/{n}.tar" for n in (0, 1, 2, 4)}
    copy_shards(inputs(bucket), f"{tmp_path}/", force=True)


def test_one_that_is_missing(bucket, tmp_path):
    urls = [bucket.url("0.tar"), bucket.url("none.tar"), bucket.url("1.tar")]
    with pytest.raises(NotFoundError):
        copy_shards(Inputs(urls=urls), f"{tmp_path}/")
    report = copy_shards(Inputs(urls=urls, on_error="skip"), f"{tmp_path}/", force=True)
    assert sorted(files(tmp_path)) == ["0.tar", "1.tar"]
    assert len(report.failed) == 1


def test_what_a_manifest_says_is_compared(tmp_path):
    with wds.ShardWriter(f"{tmp_path}/s-%d.tar", manifest=f"{tmp_path}/m.json", maxcount=1, verbose=0) as sink:
        for n in range(2):
            sink.write({"__key__": f"{n}", "txt": "x"})
    (tmp_path / "out").mkdir()
    assert len(copy_shards(Inputs(urls=[f"{tmp_path}/m.json"]), f"{tmp_path}/out/").shards) == 2
    damaged = bytearray((tmp_path / "s-1.tar").read_bytes())
    damaged[512] ^= 1
    (tmp_path / "s-1.tar").write_bytes(damaged)
    with pytest.raises((ChecksumError, FetchError), match="SHA-256|sha256|bytes"):
        copy_shards(Inputs(urls=[f"{tmp_path}/m.json"]), f"{tmp_path}/out/", force=True)
    assert json.loads((tmp_path / "m.json").read_text())["shards"][1]["sha256"]


@pytest.mark.parametrize("target", ["{folder}/one.tar", "{folder}/{{part}}.tar"])
def test_targets_that_make_no_sense(bucket, tmp_path, target):
    with pytest.raises(SpecError):
        copy_shards(inputs(bucket), target.format(folder=tmp_path))


def test_two_that_would_be_one(tmp_path):
    with pytest.raises(SpecError, match="would both be copied"):
        copy_shards(Inputs(urls=["a/x.tar", "b/x.tar"]), f"{tmp_path}/")


def test_a_dry_run_writes_nothing(bucket, tmp_path):
    assert len(copy_shards(inputs(bucket), f"{tmp_path}/", dry_run=True).shards) == 5
    assert files(tmp_path) == {}
