"""What processes find out of each shard is what one finds out of all."""

from __future__ import annotations

import json
import multiprocessing
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from asyncwds.cli import main
from asyncwds.errors import SpecError
from asyncwds.tools import Inputs, Outputs, Selection, dedup_shards

HASH = ["dedup", "--by", "json.width", "--keep", "largest", "--keys", "keys.txt", "--drop-list", "drop.txt", "--force", "--json"]
COMMANDS = {
    "stat": ["stat", "--json"],
    "dedup": [*HASH, "-o", "one.tar"],
    "verify": ["verify", "cut.tar", "none.tar", "--fix", "-o", "fixed-{shard}.tar", "--force", "--json"],
}


@pytest.fixture
def shards(numbered: Callable[..., str], write: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Of which the first and the last have samples alike, and the second is compressed."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "keys.txt").write_text("".join(f"{number:04d}\n" for number in range(0, 20, 3)))
    numbered("a.tar", 8)
    write("b.tar.gz", [("no key", b""), ("0100.cls", b"1"), ("0100.json", b'{"width": 3}')], "w:gz")
    data = Path(numbered("c.tar", 10)).read_bytes()
    (tmp_path / "cut.tar").write_bytes(data[:3000])
    write("none.tar", [])
    return ["a.tar", "b.tar.gz", "c.tar"]


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    yield
    assert multiprocessing.active_children() == []


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("command", COMMANDS)
def test_processes_find_the_same(command: str, shards: list[str], tmp_path: Path) -> None:
    found = []
    for jobs in ("1", "2"):
        done = CliRunner().invoke(main, [*COMMANDS[command], *shards, "--jobs", jobs, "--log-json"])
        found.append((done.exit_code, done.stdout, files(tmp_path)))
    events = [json.loads(line) for line in done.stderr.splitlines()]
    finished = {event["url"] for event in events if event["event"] == "shard_finished"}
    assert finished >= {*shards}
    assert len(finished) in [event["done"] for event in events if event.get("unit") == "shards"]
    assert found[0] == found[1]
    assert found[0][0] == (4 if command == "verify" else 0)
    if command == "verify":
        assert [name for name in found[0][2] if name.startswith("fixed")] == [f"fixed-{number}.tar" for number in (0, 2, 3, 4)]


def test_keys_and_warnings_of_several_processes(write: Callable[..., str]) -> None:
    scattered = write("scattered.tar", [("0001.txt", b""), ("b.txt", b""), ("0001.cls", b"1")])
    again = write("again.tar", [("0001.txt", b"")])
    found = [CliRunner().invoke(main, ["verify", scattered, again, "--json", "--jobs", jobs]) for jobs in ("1", "2")]
    assert found[0].stdout == found[1].stdout
    assert '"W12"' in found[1].stdout
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warned = [CliRunner().invoke(main, ["stat", scattered, again, "--jobs", jobs]).stderr for jobs in ("1", "2")]
    assert warned[0] == warned[1] != ""


@pytest.mark.parametrize(
    ("inputs", "selection", "words"),
    [
        ({"urls": ["a.tar"]}, Selection(limit=1), "count samples of all shards"),
        ({"urls": ["a.tar"], "on_error": "stop"}, Selection(), "fail or skip"),
    ],
)
def test_what_jobs_cannot_do(inputs: dict[str, Any], selection: Selection, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        dedup_shards(Inputs(**inputs), Outputs(target="x.tar"), selection, jobs=2)


def test_what_would_be_put_right(shards: list[str], tmp_path: Path) -> None:
    before = files(tmp_path)
    done = CliRunner().invoke(main, ["verify", "cut.tar", "--fix", "--dry-run", "--json"])
    assert (done.exit_code, json.loads(done.stdout.splitlines()[-1])["samples_out"]) == (4, 1)
    assert files(tmp_path) == before
    assert CliRunner().invoke(main, ["verify", "cut.tar", "--dry-run"]).exit_code == 1


def test_usage(shards: list[str]) -> None:
    done = CliRunner().invoke(main, ["export", *shards, "-o", "x.csv", "--jobs", "2"])
    assert done.exit_code == 1, done.output


def test_one_table_a_shard(shards: list[str], tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["export", *shards, "--fields", "cls", "-o", "{shard}.jsonl", "--json"])
    assert json.loads(done.stdout)["samples_out"] == 19
    assert [len((tmp_path / f"{number}.jsonl").read_text().splitlines()) for number in range(3)] == [8, 1, 10]
