"""The commands, as a user runs them."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest

from asyncwds.testing import FaultServer, make_shard


@pytest.fixture
def shard(tmp_path):
    samples = [{"__key__": f"k{n}", "txt": "x" * n, "cls": "1"} for n in range(4)]
    (tmp_path / "a.tar").write_bytes(make_shard(samples))
    return tmp_path / "a.tar"


def asyncwds(*arguments, **options) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from asyncwds.cli import main; main()", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, **options)


def test_help_names_the_commands():
    done = asyncwds("--help")
    assert done.returncode == 0
    assert all(name in done.stdout for name in ("ls", "bench", "cache", "demo"))


def test_ls_lists_samples_fields_and_sizes(shard):
    done = asyncwds("ls", shard)
    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    assert lines[:4] == ["k0\ttxt:0\tcls:1", "k1\ttxt:1\tcls:1", "k2\ttxt:2\tcls:1", "k3\ttxt:3\tcls:1"]
    assert lines[4] == "4 samples in 1 shards"
    assert lines[5].split() == ["cls", "4", "x", "1", "B", "=", "4", "B"]


def test_ls_over_http_with_several_urls(shard):
    with FaultServer(shard.parent) as server:
        done = asyncwds("ls", "--summary", server.url("a.tar"), shard)
    assert done.stdout.splitlines()[0] == "8 samples in 2 shards"


def test_cache_lists_and_clears(shard, tmp_path):
    folder = tmp_path / "cache"
    with FaultServer(shard.parent) as server:
        url = server.url("a.tar")
        assert asyncwds("ls", url, env={**os.environ, "WDS_CACHE": str(folder)}).returncode == 0
    lines = asyncwds("cache", folder).stdout.splitlines()
    assert lines[0].split()[:2] == ["10.2", "kB"]
    assert lines[0].endswith(url)
    assert lines[1:] == ["10.2 kB in 1 shards"]
    assert asyncwds("cache", "--clear", folder).stdout == "removed 10.2 kB\n"
    assert asyncwds("cache", folder).stdout == "0 B in 0 shards\n"
    assert [path.name for path in folder.iterdir()] == [".asyncwds"]
    assert asyncwds("cache", tmp_path / "missing").returncode == 2


def test_bench_says_what_it_read_and_what_limits(shard):
    done = asyncwds("bench", "--connections", "3", f"{shard}::{shard}")
    names = [line.split("  ")[0] for line in done.stdout.splitlines()]
    assert names == ["samples", "bytes", "CPU", "first sample", "requests", "limit"]
    assert done.stdout.split()[1] == "8"
    assert asyncwds("bench", "-n", "3", shard).stdout.split()[1] == "3"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["ls", "nothing.tar"], "NotFoundError: No such file"),
        (["ls", "gopher://x/y.tar"], "SpecError: no storage for gopher: urls"),
        (["bench", "{1..3"], "SpecError"),
    ],
)
def test_an_error_is_one_line_and_status_1(arguments, words):
    done = asyncwds(*arguments)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("asyncwds: ")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_reader_that_leaves_early_is_no_error(shard):
    """`asyncwds ls ... | head`"""
    (shard.parent / "many.txt").write_text(f"{shard}\n" * 3000)
    command = [sys.executable, "-c", "from asyncwds.cli import main; main()", "ls", f"@{shard.parent}/many.txt"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as listing:
        assert listing.stdout.readline() == "k0\ttxt:0\tcls:1\n"
        listing.stdout.close()
        assert listing.stderr.read() == ""
        assert listing.wait(30) == 0


def test_demo_draws_serves_streams_and_trains():
    done = asyncwds("demo", "--samples", "128", "--train-seconds", "0.5", env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("drew 128 images into 16 shards")
    assert lines[2].startswith("one connection")
    assert lines[3].startswith("asyncwds")
    assert "times as fast as one connection" in lines[4]
    trains = importlib.util.find_spec("torch") is not None
    assert lines[5].startswith("trained a small classifier" if trains else "torch is not installed")
