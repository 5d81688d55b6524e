"""Every tool takes every form of inputs: lists, manifests of others, folders, wildcards, braces."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from command_line import run_asyncwds

FORMS = {
    "manifest.jsonl": '{"shard": "s0", "num_sequences": 2}\n{"shard": "s1", "num_sequences": 2}\n',  # open_lm
    "sizes.json": '{"s2.tar": 2}',  # open_clip
    "wids.json": '{"wids_version": 1, "shardlist": [{"url": "s3.tar", "nsamples": 2, "filesize": 10240}]}',
    "own.json": '{"format": "asyncwds-manifest-1", "shards": [{"url": "s4.tar", "samples": 2, "bytes": 10240}]}',
    "list.txt": "s5.tar\n# none\n",
    "unchanged.py": "def same(sample): return sample",
}
URLS = ["manifest.jsonl", "sizes.json", "wids.json", "own.json", "@list.txt", "folder", "s7*.tar", "s{8..9}.tar"]
SAMPLES = 20


@pytest.fixture
def run(numbered: Any, tmp_path: Path) -> Any:
    """The exit status of a command, and what it wrote to standard output, or else to standard error."""
    (tmp_path / "folder").mkdir()
    for number in range(10):
        numbered(f"folder/s{number}.tar" if number == 6 else f"s{number}.tar", 2, 2 * number)
    for name, text in FORMS.items():
        (tmp_path / name).write_text(text)

    def run(*arguments: str) -> tuple[int, str]:
        done = run_asyncwds(*arguments, cwd=tmp_path)
        return done.returncode, done.stdout or done.stderr

    return run


@pytest.mark.parametrize(
    "command",
    [
        *["cat -o out.tar", "filter -o out.tar", "split --number 3 -o out-{shard}.tar", "shuffle -o out.tar", "sort -o out.tar"],
        *[
            "dedup --by key -o out.tar",
            "mix -o out.tar",
            "map --py unchanged.py:same -o out.tar",
            "export -o out.csv",
            "proc -c true -o out.tar",
        ],
    ],
)
def test_tools_that_copy(command: str, run: Any) -> None:
    name, *options = command.split()
    status, out = run(name, *URLS, *options, "--json")
    assert status == 0, out
    assert json.loads(out)["samples_in"] == SAMPLES


def test_tools_that_look(run: Any) -> None:
    status, out = run("ls", *URLS, "--keys")
    assert out.split() == [f"{number:04d}" for number in range(SAMPLES)]
    status, out = run("ls", *URLS, "--shards", "--json")
    assert sum(json.loads(line)["samples"] for line in out.splitlines()) == SAMPLES
    status, out = run("stat", *URLS, "--json")
    assert (json.loads(out)["samples"], len(json.loads(out)["shards"])) == (SAMPLES, 10)
    status, out = run("show", *URLS, "--json", "-n", "100")
    assert len(out.splitlines()) == SAMPLES
    status, out = run("verify", *URLS, "--json", "--ignore", "W17,W13")
    assert (status, json.loads(out.splitlines()[-1])["samples"]) == (0, SAMPLES)
    status, out = run("bench", *URLS, "--json")
    assert json.loads(out)["samples"] == SAMPLES
    assert run("get", *URLS, "0019.json") == (0, '{"width": 19}')


def test_tools_that_take_whole_shards(run: Any) -> None:
    status, out = run("cp", *URLS, "copied/", "--json")
    assert (status, len(json.loads(out)["shards"])) == (0, 10)
    assert run("index", *URLS, "-o", "all.json")[1].startswith(f"{SAMPLES} samples in 10 shards")
    same = {"manifest.jsonl": "s{0,1}.tar", "sizes.json": "copied/s2.tar", "wids.json": "s3*", "@list.txt": "s5.tar"}
    for one, other in same.items():
        assert run("diff", one, other)[0] == 0
    status, out = run("join", "manifest.jsonl", "sizes.json", "--with", "copied", "--conflict", "left", "-o", "x.tar", "--json")
    assert json.loads(out)["samples_in"] == 6
    status, out = run("mix", "sizes.json", "-o", "mixed.tar", "--json")
    assert (status, json.loads(out)["samples_in"]) == (0, 2)
