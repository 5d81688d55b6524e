"""`--log-json`: what a command does, for programs that read its standard error."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from asyncwds.cli import main
from asyncwds.testing import FaultServer

REPORT = {"samples_in", "samples_out", "dropped", "left_out", "damaged", "renumbered", "made", "shards", "notes"}


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The exit status of a command, its events by name, and what it wrote to standard output."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, list[dict[str, Any]], str]:
        with pytest.raises(SystemExit) as ended:
            main([*arguments, "--log-json"])
        out, err = capsys.readouterr()
        return ended.value.code or 0, [json.loads(line) for line in err.splitlines()], out  # type: ignore[return-value]

    return run


def names_of(events: list[dict[str, Any]]) -> list[str]:
    """Without `progress`, which comes as time passes."""
    return [event["event"] for event in events if event["event"] != "progress"]


def test_events_of_a_command_that_copies(run: Any, numbered: Any) -> None:
    for number in range(2):
        numbered(f"{number}.tar", 10, 10 * number)
    arguments = ["split", "{0..1}.tar", "--where", "cls < 5", "--max-count", "6", "-o", "out-{shard}.tar"]
    status, events, out = run(*arguments)
    assert (status, out) == (0, "")
    assert names_of(events) == [
        *["start", "shard_started", "shard_finished", "shard_started", "shard_written", "shard_finished"],
        *["shard_written", "summary", "end"],
    ]
    for event in events:
        assert event["command"] == "split"
        assert event["time"] > 1e9
        assert 0 <= event["seconds"] < 100
    read = [event for event in events if event["event"] == "shard_finished"]
    assert [(event["url"], event["samples"]) for event in read] == [("0.tar", 10), ("1.tar", 10)]
    assert 10 * 3 * 512 < read[0]["bytes"] < Path("0.tar").stat().st_size
    written = [event for event in events if event["event"] == "shard_written"]
    assert [(event["url"], event["samples"]) for event in written] == [("out-0.tar", 6), ("out-1.tar", 4)]
    progress = [event for event in events if event["event"] == "progress"][-1]
    assert (progress["unit"], progress["done"], progress["total"]) == ("samples", 20, None)
    assert progress["bytes"] == sum(event["bytes"] for event in read)
    assert progress["bytes_per_second"] > progress["per_second"] > 0
    summary = events[-2]
    assert set(summary) >= REPORT
    assert (summary["samples_in"], summary["samples_out"], summary["dropped"]) == (20, 10, {"where": 10})
    assert events[-1]["status"] == 0


@pytest.mark.parametrize(
    ("arguments", "middle"),
    [
        (["ls", "a.tar"], []),
        (["stat", "a.tar"], []),
        (["index", "a.tar", "-o", "a.json"], ["summary"]),
        (["verify", "a.tar", "--ignore", "W17"], []),
        (["bench", "a.tar", "--json"], []),
        (["cp", "a.tar", "b.tar"], ["summary", "message"]),
        (["create", "folder", "-o", "c.tar"], ["shard_written", "summary"]),
        (["cat", "a.tar", "-n", "2", "-o", "d.tar"], ["shard_started", "shard_written", "summary"]),
        (
            ["cat", "{a,e}.tar", "--mix", "2", "-o", "f.tar"],
            [*["shard_started"] * 2, *["shard_finished"] * 2, "shard_written", "summary"],
        ),
        (["export", "a.tar", "-o", "a.csv"], ["shard_started", "shard_finished", "summary"]),
        (["show", "a.tar", "--html", "a.html"], ["shard_started", "shard_finished", "message"]),
    ],
)
def test_events_of_other_commands(arguments: list[str], middle: list[str], run: Any, numbered: Any, tmp_path: Path) -> None:
    numbered("a.tar", 3)
    numbered("e.tar", 3, 3)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "x.txt").write_text("x")
    status, events, _ = run(*arguments)
    assert names_of(events) == ["start", *middle, "end"]
    assert (status, events[-1]["status"]) == (0, 0)


def test_in_a_mix_each_shard_has_finished_when_its_turns_are_over(run: Any, numbered: Any) -> None:
    for first, (name, count) in enumerate([("a.tar", 2), ("b.tar", 6), ("c.tar", 3)]):
        numbered(name, count, 10 * first)
    _, events, _ = run("cat", "{a,b,c}.tar", "--mix", "2", "-o", "d.tar")
    seen = [(event["event"], event["url"], event.get("samples")) for event in events if event["event"].startswith("shard_")]
    started = [("shard_started", f"{name}.tar", None) for name in "abc"]
    finished = [("shard_finished", f"{name}.tar", count) for name, count in (("a", 2), ("c", 3), ("b", 6))]
    assert seen == [*started, *finished, ("shard_written", "d.tar", 11)]


def test_errors_and_warnings(run: Any, numbered: Any, tmp_path: Path) -> None:
    cut = Path(numbered("a.tar", 10)).read_bytes()[:9_000]
    (tmp_path / "cut.tar").write_bytes(cut)
    status, events, _ = run("cat", "cut.tar", "-o", "x.tar")
    assert (status, names_of(events)[-2:]) == (2, ["error", "end"])
    assert events[-2].items() >= {"kind": "TruncatedTarError", "url": "cut.tar", "key": "0002"}.items()
    assert events[-1]["status"] == 2
    status, events, out = run("cat", "cut.tar", "-o", "x.tar", "--on-error", "skip", "--json")
    assert (status, events[-1]["status"], json.loads(out)["samples_out"]) == (4, 4, events[-2]["samples_out"])
    with FaultServer(tmp_path) as server:
        status, events, _ = run("ls", server.url("cut.tar").replace("://", "://me:hush@") + "?sig=hush", "--json")
        assert (status, names_of(events)) == (2, ["start", "error", "end"])
        assert "hush" not in json.dumps(events)
        status, events, _ = run("cache", "warm", server.url("a.tar"), "--cache", "kept")
        assert (status, names_of(events)) == (0, ["start", "summary", "message", "end"])
        assert events[1]["command"] == "cache warm"


def test_what_is_logged(run: Any, numbered: Any, tmp_path: Path) -> None:
    numbered("a.tar", 1)
    (tmp_path / "talkative.py").write_text(
        """
import logging

def wanted(sample):
    logging.getLogger("asyncwds.test").warning("nothing from %s", "http://me:hush@x\x1b")
    return True
"""
    )
    _, events, _ = run("cat", "a.tar", "-o", "x.tar", "--py", "talkative.py:wanted")
    found = [(event["kind"], event["message"]) for event in events if event["event"] == "warning"]
    assert found == [("warning", "nothing from http://***@x\\x1b")]


def test_with_several_processes(run: Any, numbered: Any) -> None:
    for number in range(3):
        numbered(f"{number}.tar", 4, 4 * number)
    status, events, _ = run("filter", "{0..2}.tar", "--jobs", "2", "-o", "out-{shard}.tar", "--where", "cls != 3")
    assert status == 0
    found = {name: [event for event in events if event["event"] == name] for name in [*names_of(events), "progress"]}
    assert {(event["url"], event["samples"]) for event in found["shard_finished"]} == {(f"{n}.tar", 4) for n in range(3)}
    assert {event["url"] for event in found["shard_written"]} == {f"out-{n}.tar" for n in range(3)}
    assert (found["progress"][-1]["done"], found["summary"][0]["samples_in"]) == (3, 12)


def test_nobody_logs_behind_the_end(run: Any, numbered: Any, capsys: pytest.CaptureFixture[str]) -> None:
    numbered("a.tar", 3)
    run("ls", "a.tar")
    assert not logging.getLogger("asyncwds").handlers
    with pytest.raises(SystemExit):
        main(["cat", "a.tar", "-o", "x.tar"])
    assert capsys.readouterr().err == "3 samples in, 3 out in 1 shard\n"


def test_the_end_of_what_makes_no_sense_has_its_status(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["verify", "a.tar", "--dry-run", "--log-json"])
    events = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    assert (events[-1]["event"], events[-1]["status"]) == ("end", 1)
