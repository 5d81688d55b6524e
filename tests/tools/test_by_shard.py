"""An output for each input: what it is called, that processes change nothing, errors, and going on."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from asyncwds.cli import main
from asyncwds.errors import SampleError, SpecError
from asyncwds.tools import (
    Command,
    Inputs,
    Outputs,
    Report,
    Selection,
    Windows,
    cat_shards,
    filter_samples,
    map_samples,
    proc_samples,
    split_shards,
)

FUNCTIONS = """
import os
import time

def square(sample, device="none"):
    return {"json": {"square": int(sample["cls"]) ** 2}}

def keep(sample):
    return sample["cls"] != b"3"

def slow(sample):
    time.sleep(0.05 if os.path.exists("slow") else 0)
    return sample["cls"] != b"3"

def fail(sample):
    return 1 // (int(sample["__key__"]) - 45) != 7
"""


@pytest.fixture
def shards(numbered: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Of 10 samples each; of those in the third none has a cls other than 3."""
    (tmp_path / "functions_by_shard.py").write_text(FUNCTIONS)
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path)
    return [numbered(f"in/part-{number}.v1.tar", 10, 10 * number) for number in range(5)]


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


FEW = Selection(where="cls == 4 and key != '0024'")
TOOLS: dict[str, Callable[..., Report]] = {
    "filter": lambda inputs, outputs, **jobs: filter_samples(inputs, outputs, Selection(where="cls != 3"), **jobs),
    "cat": lambda inputs, outputs, **jobs: cat_shards(inputs, outputs, Selection(fields="cls"), rekey="{shard}/{key}", **jobs),
    "map": lambda inputs, outputs, **jobs: map_samples(inputs, outputs, "functions_by_shard.py:square", **jobs),
    "proc": lambda inputs, outputs, **jobs: proc_samples(
        inputs, outputs, Command("wc -c", stdin="json", stdout="txt"), FEW, **jobs
    ),
    "split": lambda inputs, outputs, **jobs: split_shards(inputs, outputs, ratio={"a": 1}, **jobs),
}


@pytest.mark.parametrize("tool", TOOLS)
def test_each_shard_as_if_it_were_alone(tool: str, shards: list[str], tmp_path: Path) -> None:
    group = "{split}" if tool == "split" else "a"
    report = TOOLS[tool](Inputs(urls=[str(tmp_path / "in")]), Outputs(target=f"{tmp_path}/out/{group}{{name}}.tar"))
    assert (report.samples_in, len(report.shards)) == (50, 5)
    for shard in shards[::2]:
        alone = TOOLS[tool](Inputs(urls=[shard]), Outputs(target=f"{tmp_path}/{group}lone.tar", force=True))
        out = tmp_path / "out" / f"a{Path(shard).name}"
        assert out.read_bytes() == (tmp_path / "alone.tar").read_bytes()
        assert alone.samples_out == next(each["samples"] for each in report.shards if each["url"] == str(out))


def test_processes_change_nothing(shards: list[str], tmp_path: Path) -> None:
    def run(folder: str, **options: Any) -> dict[str, Any]:
        inputs = Inputs(urls=shards, memory=1 << 20, io=3)
        outputs = Outputs(target=str(tmp_path / folder / "{shard:02d}.tar"))
        chosen = Selection(keys=[f"{number:04d}" for number in range(0, 40, 2)], py="functions_by_shard.py:keep")
        return map_samples(inputs, outputs, "functions_by_shard.py:square", chosen, **options).as_dict()

    one, two = run("out", jobs=1), run("two", jobs=2, devices=["cpu:0", "cpu:1"])
    assert json.loads(json.dumps(one).replace("/out/", "/two/")) == two
    assert (one["samples_in"], one["samples_out"], one["dropped"]) == (50, 20, {"keys": 30})
    assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "two")
    assert sorted(bytes_of(tmp_path / "two")) == [f"{number:02d}.tar" for number in range(5)]
    assert multiprocessing.active_children() == []


def test_an_error_in_a_process_names_shard_and_key(shards: list[str], tmp_path: Path) -> None:
    outputs = Outputs(target=str(tmp_path / "out" / "{name}.tar"))
    with pytest.raises(SampleError, match=r"ZeroDivisionError.*part-4\.v1\.tar.*key=0045") as caught:
        filter_samples(Inputs(urls=shards[3:]), outputs, Selection(py="functions_by_shard.py:fail"), jobs=2)
    assert "functions_by_shard.py" in str(caught.value.__cause__)
    assert not (tmp_path / "out" / "part-4.v1.tar").exists()
    assert multiprocessing.active_children() == []


def test_numbers_are_those_of_all_parts(shards: list[str], tmp_path: Path) -> None:
    for part in range(2):
        outputs = Outputs(target=str(tmp_path / "out" / "{shard}.tar"), part=part)
        filter_samples(Inputs(urls=shards, part=(part, 2)), outputs, Selection(where="cls == 4"))
    filter_samples(Inputs(urls=shards), Outputs(target=str(tmp_path / "whole" / "{shard}.tar")), Selection(where="cls == 4"))
    assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "whole")


def test_bounds_hold_within_a_shard(shards: list[str], tmp_path: Path) -> None:
    report = cat_shards(Inputs(urls=shards[:2]), Outputs(target=str(tmp_path / "out" / "{name}-{shard}.tar"), max_count=4))
    assert [(Path(each["url"]).name, each["samples"]) for each in report.shards] == [
        (f"part-{number}.v1-{shard}.tar", samples) for number in range(2) for shard, samples in enumerate((4, 4, 2))
    ]


def test_one_output_where_samples_of_several_shards_belong_together(shards: list[str], tmp_path: Path) -> None:
    outputs = Outputs(target=str(tmp_path / "out" / "{shard}.tar"))
    report = filter_samples(Inputs(urls=shards), outputs, Selection(limit=14))
    assert [each["samples"] for each in report.shards] == [14]
    report = cat_shards(Inputs(urls=shards), Outputs(target=str(tmp_path / "cat" / "{shard}.tar")))
    assert [each["samples"] for each in report.shards] == [50]


@pytest.mark.parametrize(
    ("target", "call", "words"),
    [
        ("{name}.tar", lambda i, o: filter_samples(i, o, Selection(limit=3)), "limit and slice"),
        ("{shard}.tar", lambda i, o: filter_samples(i, o, Selection(slice="3"), jobs=2), "limit and slice"),
        ("one.tar", lambda i, o: filter_samples(i, o, Selection(), jobs=2), "a pattern with {name}"),
        ("{shard}.tar", lambda i, o: cat_shards(i, o, jobs=2), "a pattern with {name}"),
        ("{name}.tar", lambda i, o: cat_shards(i, o, rekey="{index}"), "{index}"),
        ("{name}.tar", lambda i, o: cat_shards(i, o, windows=Windows(length=2)), "windows"),
        ("x.tar", lambda i, o: split_shards(i, o, ratio={"a": 1}, jobs=2), "a pattern with {name}"),
        ("{name}{shard}.tar", lambda i, o: split_shards(i, o, number=3), "{name}"),
    ],
)
def test_what_takes_several_shards_together(
    target: str, call: Callable[..., Any], words: str, shards: list[str], tmp_path: Path
) -> None:
    with pytest.raises(SpecError) as caught:
        call(Inputs(urls=shards), Outputs(target=f"{tmp_path}/out/{target}"))
    assert words in str(caught.value)
    assert not list(tmp_path.glob("out/*"))


@pytest.mark.parametrize(
    ("options", "jobs", "words"),
    [
        ({"mix": 2}, 1, "mix takes samples of several"),
        ({"on_error": "stop"}, 2, "fail or skip"),
        ({"urls": ["in/part-0.v1.tar", "./in/part-0.v1.tar"]}, 1, "would both be called"),
        ({"urls": ["-", "in/part-0.v1.tar"]}, 2, "standard input"),
    ],
)
def test_inputs_that_do_not_stand_alone(options: dict[str, Any], jobs: int, words: str, shards: list[str], tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=words):
        filter_samples(
            Inputs(**{"urls": shards, **options}), Outputs(target=f"{tmp_path}/out/{{name}}.tar"), Selection(), jobs=jobs
        )


@pytest.mark.parametrize("on_error", ["skip", "stop"])
def test_what_is_damaged(on_error: Any, shards: list[str], tmp_path: Path) -> None:
    Path(shards[1]).write_bytes(Path(shards[1]).read_bytes()[:9000])
    outputs = Outputs(target=str(tmp_path / "out" / "{name}.tar"))
    report = filter_samples(Inputs(urls=shards, on_error=on_error), outputs, Selection())
    assert (len(report.damaged), report.status, len(report.shards)) == (1, 4, 5 if on_error == "skip" else 2)
    assert report.samples_out == report.samples_in
    Path(shards[3]).write_bytes(Path(shards[3]).read_bytes()[:9000])
    with pytest.raises(SampleError, match="2 errors are more than max_errors"):
        filter_samples(Inputs(urls=shards, on_error="skip", max_errors=1), replace(outputs, force=True), Selection())


def command(*arguments: str) -> list[str]:
    chosen = ["--py", "functions_by_shard:slow", "--resume", "-o", "out/{name}.tar"]
    return [sys.executable, "-m", "asyncwds", "filter", "in/*.tar", *chosen, *arguments]


@pytest.mark.parametrize("with_signal", [signal.SIGINT, signal.SIGKILL])
def test_ended_in_the_middle_and_resumed(with_signal: int, shards: list[str], tmp_path: Path) -> None:
    """Ctrl-C goes to all processes of a terminal, SIGKILL to the first one alone: the others end by themselves."""
    (tmp_path / "slow").touch()
    journal = tmp_path / "out" / "{name}.tar.journal"
    with subprocess.Popen(command("--jobs", "2"), stderr=subprocess.PIPE, start_new_session=True) as process:
        while not journal.exists():
            assert process.poll() is None
            time.sleep(0.01)
        (os.killpg if with_signal == signal.SIGINT else os.kill)(process.pid, with_signal)
        assert process.wait(30) == (130 if with_signal == signal.SIGINT else -signal.SIGKILL)
        assert process.stderr is not None
        said = process.stderr.read()  # to its end: nobody has it open any more
    assert said in (b"", b"asyncwds: interrupted\n", b"\nasyncwds: interrupted\n")
    done = {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in bytes_of(tmp_path / "out") if name.endswith("tar")}
    assert 1 <= len(done) < 5
    (tmp_path / "slow").unlink()
    known = [
        Path(each["url"]).name for line in journal.read_text().splitlines()[1:] for each in json.loads(line)["report"]["shards"]
    ]
    report = json.loads(CliRunner().invoke(main, command("--json")[3:]).stdout)
    whole = filter_samples(Inputs(urls=["in/*.tar"]), Outputs(target="whole/{name}.tar"), Selection(where="cls != 3"))
    shards_out = [{**each, "url": each["url"].replace("whole", "out")} for each in whole.shards]
    assert report == {**whole.as_dict(), "dropped": {"py": 5}, "shards": shards_out}
    journal.unlink()
    assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "whole")
    assert [(tmp_path / "out" / name).stat().st_mtime_ns for name in known] == [done[name] for name in known]
