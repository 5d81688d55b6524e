"""`asyncwds state`, as a user runs it."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from command_line import Done, run_asyncwds

import asyncwds as wds
from asyncwds.testing import write_shards


def run(*arguments: Any) -> Done:
    return run_asyncwds("state", *arguments)


def dataset(folder: Path, buffer: int = 6) -> Any:
    shards = sorted(map(str, (folder / "shards").glob("*.tar")))
    return wds.WebDataset(shards, seed=1, nodesplitter=wds.split_by_node).shuffle(buffer).map(lambda sample: sample["__key__"])


def save(folder: Path, name: str, count: int, rank: int, buffer: int = 6) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RANK", str(rank))
        patch.setenv("WORLD_SIZE", "2")
        data = dataset(folder, buffer)
        items = iter(data)
        list(islice(items, count))
        (folder / name).write_text(json.dumps(data.state_dict()))
        items.close()
    return folder / name


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    folder = tmp_path_factory.mktemp("states")
    write_shards(folder / "shards", shards=4, samples=5)
    return folder, [save(folder, f"{rank}.json", 3 + rank, rank) for rank in range(2)]


def test_show_says_how_far_each_has_come(saved: tuple[Path, list[Path]]) -> None:
    _, files = saved
    done = run("show", *files)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == f"{files[0]}: rank 0 of 2, worker 0 of 1"
    assert lines[1] == "  epoch 0, seed 1: 3 items given"
    assert lines[2].split() == ["pipeline", "Source,", "shuffle(6),", "map()"]
    assert lines[3].startswith("  shards         2 of 4 of all ranks begun, of which ")
    assert lines[4] == "  held           5 items by shuffle"
    numbers = [json.loads(line) for line in run("show", "--json", *files).stdout.splitlines()]
    assert [(one["rank"], one["items"], one["held"]) for one in numbers] == [(0, 3, {"shuffle": 5}), (1, 4, {"shuffle": 5})]


def test_merge_makes_one_that_any_number_of_ranks_goes_on_from(saved: tuple[Path, list[Path]]) -> None:
    folder, files = saved
    done = run("merge", *files, "-o", folder / "merged.json")
    assert (done.returncode, done.stderr) == (0, "")
    assert "merged, of 2 ranks and workers" in done.stdout
    nowhere = run("merge", *files, "-o", folder / "no/such/folder.json")
    assert (nowhere.returncode, nowhere.stderr.startswith("asyncwds: FileNotFoundError: ")) == (3, True)
    merged = json.loads((folder / "merged.json").read_text())
    assert json.loads(run("merge", *files).stdout) == merged
    data = dataset(folder)
    data.load_state_dict(merged)
    assert len(list(data)) == 20 - 3 - 4
    data.load_state_dict(merged)
    (folder / "loaded.json").write_text(json.dumps(data.state_dict()))
    left = json.loads(run("show", "--json", folder / "loaded.json").stdout)["left"]
    assert (left["merges"], left["items"]) == (1, 7)
    assert "left           by others after 7 items and 1 merge: " in run("show", folder / "loaded.json").stdout


def test_a_missing_rank_is_an_error_or_comes_again(saved: tuple[Path, list[Path]]) -> None:
    folder, files = saved
    done = run("merge", files[0])
    assert done.returncode == 1
    assert "there are no states of worker 0 of 1 of rank 1 of 2" in done.stderr
    again = run("merge", files[0], "--missing", "redeliver", "-o", folder / "again.json", "--json")
    assert json.loads(again.stdout)["merged"] == 2


def test_diff_says_what_differs(saved: tuple[Path, list[Path]]) -> None:
    folder, files = saved
    assert run("diff", files[0], files[0]).returncode == 0
    done = run("diff", *files)
    assert done.returncode == 1
    assert "items: 3 in the first, 4 in the second" in done.stdout.splitlines()
    other = save(folder, "other.json", 3, 0, buffer=7)
    found = json.loads(run("diff", "--json", files[0], other).stdout)
    assert "stage 1: shuffle(6) in the first, shuffle(7) in the second" in found


@pytest.mark.parametrize(
    ("text", "words"),
    [("{", "no JSON"), ("[1, {}]", "no state of a dataset"), ('{"pass": 1, "worker_info": 2}', "not the state of a pipeline")],
)
def test_a_file_that_has_no_state(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "file.json").write_text(text)
    done = run("show", tmp_path / "file.json")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert words in done.stderr
    assert str(tmp_path) in done.stderr or "pipeline" in words


def test_two_states_in_one_file_are_shown_and_not_compared(saved: tuple[Path, list[Path]]) -> None:
    folder, files = saved
    both = folder / "both.json"
    both.write_text(json.dumps({"workers": [json.loads(file.read_text()) for file in files]}))
    assert len(run("show", "--json", both).stdout.splitlines()) == 2
    assert "there are 2 states in this file" in run("diff", both, both).stderr
