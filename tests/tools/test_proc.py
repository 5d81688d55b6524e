"""`proc`: what a command leaves is what comes out, in order, and nothing else changes."""

import json
import os
import subprocess
import sys
import textwrap
import time

import pytest

import asyncwds as wds
from asyncwds.errors import SampleError, SpecError
from asyncwds.testing import make_shard
from asyncwds.tools import Command, Inputs, Outputs, Selection, proc_samples


@pytest.fixture
def shard(tmp_path):
    path = tmp_path / "in.tar"
    path.write_bytes(make_shard([{"__key__": f"{n:03}", "json": b"{}", "txt": f"text {n}".encode()} for n in range(12)]))
    return path


def run(shard, text, *, target="out.tar", on_error="fail", jobs=3, ordered=True, **options):
    """(report, samples)"""
    out = shard.parent / target
    inputs = Inputs(urls=[str(shard)], on_error=on_error)
    report = proc_samples(inputs, Outputs(target=str(out), force=True), Command(text, **options), jobs=jobs, ordered=ordered)
    samples = [dict(sample) for sample in wds.WebDataset(str(out), shardshuffle=False, empty_check=False)]
    return report, [{name: value for name, value in sample.items() if name[:2] != "__" or name == "__key__"} for sample in samples]


def test_files_in_and_out(shard):
    report, samples = run(shard, "tr a-z A-Z < sample.txt > sample.up; rm sample.json")
    assert samples == [{"__key__": f"{n:03}", "txt": f"text {n}".encode(), "up": f"TEXT {n}".encode()} for n in range(12)]
    assert (report.samples_in, report.samples_out) == (12, 12)


def test_a_command_that_changes_nothing_copies_byte_by_byte(shard):
    run(shard, "true")
    assert (shard.parent / "out.tar").read_bytes() == shard.read_bytes()


def test_from_field_to_field_without_files(shard):
    _, samples = run(shard, "ls | wc -l; tr a-z A-Z", stdin="txt", stdout="up", jobs=1)
    assert samples[3] == {"__key__": "003", "json": b"{}", "txt": b"text 3", "up": b"0\nTEXT 3"}


def test_one_becomes_none_or_several(shard):
    text = """
        case $WDS_KEY in
            *5) exit 0;;
            *7) echo a/b > sample-x.__key__;;
        esac
        cp sample.txt sample-x.txt; cp sample.txt sample-y.txt
    """
    report, samples = run(shard, text, many=True)
    keys = [sample["__key__"] for sample in samples]
    assert keys[:4] == ["000/x", "000/y", "001/x", "001/y"]
    assert "a/b" in keys
    assert not [key for key in keys if key.startswith("005")]
    assert (report.samples_in, report.made, report.samples_out, dict(report.dropped)) == (
        12,
        11,
        22,
        {"the command left nothing": 1},
    )


def test_a_command_that_fails(shard):
    with pytest.raises(SampleError, match=r"failed with exit status 3: no luck.*key=004"):
        run(shard, "test $WDS_KEY != 004 || { echo no luck >&2; exit 3; }", log_field="log")
    assert not (shard.parent / "out.tar").exists()
    report, samples = run(shard, "test $WDS_KEY != 004", on_error="skip")
    assert (len(samples), report.samples_out, sum(report.dropped.values()), len(report.damaged)) == (11, 11, 1, 1)


def test_what_it_says_may_be_a_field(shard):
    _, samples = run(shard, "echo $WDS_KEY; echo and this >&2", log_field="log")
    assert samples[2]["log"] == b"002\nand this\n"


def test_one_that_takes_too_long_is_ended_with_all_that_it_started(shard):
    began = time.monotonic()
    with pytest.raises(SampleError, match="longer than 0.2 s"):
        run(shard, "sleep 600 & sleep 600", timeout=0.2)
    assert time.monotonic() - began < 60


def test_order(shard):
    """Later ones are done first."""
    text = "test $WDS_KEY != 000 || sleep 0.3"
    assert [sample["__key__"] for sample in run(shard, text)[1]] == [f"{n:03}" for n in range(12)]
    unordered = [sample["__key__"] for sample in run(shard, text, ordered=False)[1]]
    assert sorted(unordered) == [f"{n:03}" for n in range(12)] != unordered


def test_ctrl_c_ends_the_commands(shard):
    script = f"""
        from asyncwds.tools import Command, Inputs, Outputs, proc_samples
        outputs = Outputs(target={str(shard.parent / "never.tar")!r})
        proc_samples(Inputs(urls=[{str(shard)!r}]), outputs, Command("echo on; exec sleep 600"), jobs=2)
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(shard.parent)}
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stderr=subprocess.PIPE, env=environment)
    assert process.stderr.readline().startswith(b"on")
    process.send_signal(2)
    process.communicate(timeout=60)
    assert process.returncode == -2
    assert not (shard.parent / "never.tar").exists()
    assert not list(shard.parent.glob("asyncwds-*"))


def test_lines_of_text_are_samples(tmp_path):
    (tmp_path / "words.txt").write_bytes(b"one\r\ntwo\nlast")
    outputs, inputs = Outputs(target=str(tmp_path / "out.tar")), Inputs(urls=[f"{tmp_path}/words.txt"])
    upper = Command("tr a-z A-Z < sample.txt > sample.up")
    report = proc_samples(inputs, outputs, upper, Selection(where='txt != "two"'), lines=True)
    samples = [(sample["__key__"], sample["txt"], sample["up"]) for sample in wds.WebDataset(outputs.target, shardshuffle=False)]
    assert samples == [("words.txt/000000000", b"one", b"ONE"), ("words.txt/000000002", b"last", b"LAST")]
    assert (report.samples_in, report.dropped) == (3, {"where": 1})


ONE_TO_MANY = """
case $WDS_KEY in
    *3) exit 0;;
    *4) exit 1;;
esac
cp sample.txt sample-a.txt
test $WDS_KEY = 001 || cp sample.txt sample-b.txt
"""


def test_killed_and_resumed_no_command_of_a_finished_shard_runs_again(shard, monkeypatch):
    """The command ends its parent by `kill -9`."""
    folder = shard.parent
    monkeypatch.chdir(folder)
    inputs = Inputs(urls=["in.tar"], on_error="skip")
    report = proc_samples(inputs, Outputs(target="whole-{shard}.tar", max_count=4), Command(ONE_TO_MANY, many=True))
    noted = f"echo $WDS_KEY >> {folder}/ran; test -e {folder}/on || test $WDS_KEY != 010 || kill -9 $PPID\n"
    options = ["--multi", "--max-count", "4", "--on-error", "skip", "--resume", "-o", "out-{shard}.tar", "--json"]
    command = [sys.executable, "-m", "asyncwds", "proc", "in.tar", "-c", noted + ONE_TO_MANY, *options]
    assert subprocess.run(command, check=False).returncode == -9
    (folder / "on").touch()
    (folder / "ran").unlink()
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
    assert (folder / "ran").read_text().split() == ["008", "009", "010", "011"]
    assert json.loads(done.stdout) == json.loads(json.dumps(report.as_dict()).replace("whole-", "out-"))
    assert len(report.shards) == 5
    for number in range(5):
        assert (folder / f"out-{number}.tar").read_bytes() == (folder / f"whole-{number}.tar").read_bytes()


def test_what_comes_in_any_order_is_not_resumed(shard):
    with pytest.raises(SpecError, match="any order"):
        outputs = Outputs(target=f"{shard.parent}/{{shard}}.tar", resume=True, max_count=2)
        proc_samples(Inputs(urls=[str(shard)]), outputs, Command("true"), ordered=False)


@pytest.mark.parametrize("options", [{"base": "a.b"}, {"base": ""}, {"many": True, "stdin": "txt"}])
def test_options_that_make_no_sense(options):
    with pytest.raises(SpecError):
        Command("true", **options)


def test_no_commands_in_secure_mode(monkeypatch):
    monkeypatch.setenv("WDS_SECURE", "1")
    with pytest.raises(SpecError, match="WDS_SECURE"):
        Command("true")


def test_a_field_that_it_is_to_read_is_not_there(shard):
    with pytest.raises(SampleError, match="no field jpg, but"):
        run(shard, "cat", stdin="jpg", stdout="x")
