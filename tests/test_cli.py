"""The commands, as a user runs them."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import os
import pty
import subprocess
import sys
import termios
from contextlib import suppress
from pathlib import Path
from types import ModuleType

import pytest
from click.testing import CliRunner
from command_line import COMMAND, run_asyncwds
from trace_format import of, read_trace

from asyncwds.cli import main
from asyncwds.testing import FaultServer, make_shard


@pytest.fixture
def shard(tmp_path):
    samples = [{"__key__": f"k{n}", "txt": "x" * n, "cls": "1"} for n in range(4)]
    (tmp_path / "a.tar").write_bytes(make_shard(samples))
    return tmp_path / "a.tar"


def test_help_names_the_commands_and_imports_none():
    command = [sys.executable, "-X", "importtime", "-m", "asyncwds", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    assert all(name in done.stdout for name in ("ls", "bench", "cache", "demo"))
    imported = {line.split()[-1] for line in done.stderr.splitlines()}
    assert {name for name in imported if name.startswith("asyncwds.cli.")} == {"asyncwds.cli.commands", "asyncwds.cli.interruption"}


def test_ls_lists_samples_fields_and_sizes(shard):
    done = run_asyncwds("ls", shard)
    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    assert lines[:4] == ["k0\ttxt:0\tcls:1", "k1\ttxt:1\tcls:1", "k2\ttxt:2\tcls:1", "k3\ttxt:3\tcls:1"]
    assert lines[4] == "4 samples in 1 shard"
    assert lines[5].split() == ["cls", "4", "x", "1", "B", "=", "4", "B"]


def test_bench_writes_a_trace(shard, tmp_path):
    with FaultServer(shard.parent) as server:
        done = run_asyncwds("bench", "--trace", tmp_path / "out.json", server.url("a.tar"))
    assert (done.returncode, done.stderr) == (0, "")
    assert len(of(read_trace(tmp_path / "out.json"), "X", "GET")) == 1
    refused = run_asyncwds("bench", "--trace", tmp_path / "out.json", "--shuffle", "10", shard)
    assert refused.returncode == 1
    assert "--trace" in refused.stderr


def test_ls_over_http_with_several_urls(shard):
    with FaultServer(shard.parent) as server:
        done = run_asyncwds("ls", "--summary", server.url("a.tar"), shard)
    assert done.stdout.splitlines()[0] == "8 samples in 2 shards"


def test_cache_lists_and_clears(shard, tmp_path):
    folder = tmp_path / "cache"
    with FaultServer(shard.parent) as server:
        url = server.url("a.tar")
        assert run_asyncwds("ls", url, env={"WDS_CACHE": str(folder)}).returncode == 0
    lines = run_asyncwds("cache", "ls", folder).stdout.splitlines()
    assert lines[0].split()[:2] == ["10.2", "kB"]
    assert lines[0].endswith(url)
    assert lines[1:] == ["10.2 kB in 1 shard"]
    as_json = json.loads(run_asyncwds("cache", "ls", "--json", env={"WDS_CACHE": str(folder)}).stdout)
    assert (as_json["bytes"], as_json["url"], as_json["part"]) == (10240, url, False)
    assert run_asyncwds("cache", "clear", folder).stdout.splitlines()[1:] == ["10.2 kB in 1 shard removed"]
    assert run_asyncwds("cache", "ls", folder).stdout == "0 B in 0 shards\n"
    assert [path.name for path in folder.iterdir()] == [".asyncwds"]
    assert run_asyncwds("cache", "ls", tmp_path / "missing").returncode == 1


@pytest.mark.parametrize("options", [["--summary"], []])
def test_ls_over_http_fetches_headers_and_not_payloads(tmp_path, options):
    for name in ("a.tar", "b.tar"):
        (tmp_path / name).write_bytes(make_shard([{"__key__": f"k{n}", "jpg": b"x" * 300_000, "cls": "1"} for n in range(30)]))
    with FaultServer(tmp_path) as server:
        done = run_asyncwds("ls", *options, f"{server.url()}{{a,b}}.tar")
        sent, requests = server.counters.bytes_sent, server.counters.requests
    assert "60 samples in 2 shards" in done.stdout.splitlines()
    assert sent < 2 * 30 * 300_000 / 20
    assert requests <= 2 * 31 + 4  # on a busy machine some are made a second time, four at most


@pytest.mark.parametrize("cache", [[], ["--cache", "kept"]])
def test_what_is_a_warning_for_a_dataset_is_one_line(shard, tmp_path, cache):
    shard.write_bytes(shard.read_bytes() + b"behind\x1b[1m the end")
    with FaultServer(shard.parent) as server:
        done = run_asyncwds("ls", *cache, server.url("a.tar"), cwd=tmp_path)
    assert done.returncode == 0
    assert "4 samples in 1 shard" in done.stdout.splitlines()
    assert done.stderr.startswith("asyncwds: ShardWarning: ")
    assert (done.stderr.count("\n"), done.stderr.rstrip("\n").isprintable()) == (1, True)


def test_ls_as_json(shard):
    lines = [json.loads(line) for line in run_asyncwds("ls", "--json", shard).stdout.splitlines()]
    assert lines == [{"key": f"k{n}", "url": str(shard), "fields": {"txt": n, "cls": 1}} for n in range(4)]
    fields = {"cls": {"samples": 4, "bytes": 4}, "txt": {"samples": 4, "bytes": 6}}
    assert json.loads(run_asyncwds("ls", "-s", "--json", shard).stdout) == {"samples": 4, "shards": 1, "fields": fields}


def test_ls_gives_keys_as_they_are_for_xargs(tmp_path):
    keys = ["plain", "a\nb", "half\udcff", "\x1b[1m", "é"]
    (tmp_path / "a.tar").write_bytes(make_shard([{"__key__": key, "txt": ""} for key in keys], format="pax"))
    assert run_asyncwds("ls", "-0", tmp_path / "a.tar").stdout_bytes.split(b"\0") == [*map(os.fsencode, keys), b""]


def test_headers_go_to_the_servers_that_are_named(shard):
    with FaultServer(shard.parent) as server:
        arguments = ["--header", "Authorization: Bearer hush", "--header", "X-Mine:1", server.url("a.tar")]
        assert run_asyncwds("ls", *arguments).returncode == 0
        assert run_asyncwds("bench", *arguments).returncode == 0
        asked = [(request.headers.get("authorization"), request.headers.get("x-mine")) for request in server.requests]
    assert set(asked) == {("Bearer hush", "1")}
    assert len(asked) >= 2


@pytest.mark.needs("botocore")
@pytest.mark.parametrize("command", ["ls", "bench"])
def test_buckets_at_another_endpoint(shard, tmp_path, command):
    config = tmp_path / "credentials"
    config.write_text("[mine]\naws_access_key_id = AKIDMINE\naws_secret_access_key = hush\n")
    environment = {"AWS_SHARED_CREDENTIALS_FILE": str(config), "AWS_DEFAULT_REGION": "eu-west-1"}
    with FaultServer({"bucket/a.tar": shard.read_bytes()}) as server:
        for options in (["--anonymous"], ["--profile", "mine"]):
            done = run_asyncwds(command, "--endpoint", server.url().rstrip("/"), *options, "s3://bucket/a.tar", env=environment)
            assert (done.returncode, done.stderr) == (0, "")
        signed = [request.headers.get("authorization") for request in server.requests]
    assert signed[0] is None
    assert "AKIDMINE" in signed[-1]


def test_a_cache_that_is_named(shard, tmp_path):
    with FaultServer(shard.parent) as server:
        for _ in range(2):
            assert run_asyncwds("ls", "--cache", tmp_path / "kept", server.url("a.tar")).stdout.count("\n") == 7
        assert server.counters.requests == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["ls", "--header", "no colon", "http://h/a.tar"], "a header is"),
        (["ls", "--header", "A: b", "a.tar"], "none"),
        (["ls", "--profile", "x", "gs://b/a.tar"], "--profile is not for gs: urls"),
        (["bench", "--anonymous", "http://h/a.tar"], "only buckets take that"),
        (["bench", "--interleave", "2", "a.tar"], "how --shuffle is done"),
        (["ls", "-0", "--json", "a.tar"], "-0 goes without"),
    ],
)
def test_options_that_make_no_sense(arguments, words):
    done = run_asyncwds(*arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert words in done.stderr


def test_bench_as_json(shard):
    found = json.loads(run_asyncwds("bench", "--json", shard).stdout)
    assert (found["samples"], found["bytes"], found["requests"]) == (4, 10240, 1)
    assert found["seconds"] > 0


def test_bench_has_a_table_of_where_the_time_went(shard):
    figures, table = run_asyncwds("bench", "--stages", shard).stdout.split("\n\n")
    assert any(line.startswith("limit ") for line in figures.splitlines())
    rows = [line.split() for line in table.splitlines()]
    seconds = [float(row[-3]) for row in rows]
    assert {"consumer"} <= {row[0] for row in rows} <= {"consumer", "parser", "disk", "shards"}
    assert seconds == sorted(seconds, reverse=True)
    assert sum(float(row[-1].rstrip("%")) for row in rows) == pytest.approx(100, abs=0.5)


def test_bench_compares_with_other_libraries(shard, monkeypatch):
    """The module stands for webdataset, which takes seconds to import."""
    other = ModuleType("webdataset")
    other.__spec__ = importlib.machinery.ModuleSpec("webdataset", None)
    other.WebDataset = lambda urls, **_: [*urls, 1 / 0] if "b.tar" in urls[0] else iter(range(4))
    monkeypatch.setitem(sys.modules, "webdataset", other)
    compared = json.loads(CliRunner().invoke(main, ["bench", str(shard), "--compare", "--json"]).stdout)["compared"]
    assert [(row["name"], row["samples"], row["failed"]) for row in compared] == [("tarfile", 4, None), ("webdataset", 4, None)]
    assert all(row["ratio"] > 0 for row in compared)
    shard.rename(shard.parent / "b.tar")
    lines = CliRunner().invoke(main, ["bench", f"{shard.parent}/b.tar", "--compare", "--stages"]).stdout.splitlines()
    assert lines[-2].startswith("tarfile        4 (")
    assert lines[-2].endswith(" times that")
    assert lines[-1] == "webdataset     ZeroDivisionError: division by zero"
    monkeypatch.setitem(sys.modules, "webdataset", None)
    refused = CliRunner().invoke(main, ["bench", f"{shard.parent}/b.tar", "--compare", "--decode", "rgb8"])
    assert refused.exit_code == 1
    decoded = CliRunner().invoke(main, ["bench", f"{shard.parent}/b.tar", "--decode", "rgb8", "--json"])
    assert json.loads(decoded.stdout)["samples"] == 4


@pytest.fixture
def ten_shards(tmp_path):
    for shard in range(10):
        samples = [{"__key__": f"{shard}-{n}", "txt": "x" * 100} for n in range(50)]
        (tmp_path / f"{shard}.tar").write_bytes(make_shard(samples))
    return tmp_path / "{0..9}.tar"


def test_bench_says_how_well_each_setting_shuffles(ten_shards):
    both = ("--shuffle", "0", "--shuffle", "500", "--interleave", "1", "--interleave", "5")
    done = run_asyncwds("bench", "--json", *both, ten_shards)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    in_turn, rotated, full, rotated_and_full = rows
    assert [(row["buffer"], row["interleave"]) for row in rows] == [(0, 1), (0, 5), (500, 1), (500, 5)]
    assert {row["samples"] for row in rows} == {500}
    assert in_turn["same_shard"] == pytest.approx(490 / 499)
    assert in_turn["apart"] == 1
    assert in_turn["distance"] == pytest.approx(1 / 500)
    assert in_turn["buffered"] == 0
    assert rotated["same_shard"] < in_turn["same_shard"]
    for row in (full, rotated_and_full):  # a buffer that holds everything gives a random order
        assert row["same_shard"] == pytest.approx(row["same_shard_random"], abs=0.05)
        assert row["distance"] == pytest.approx(row["distance_random"], abs=0.06)
        assert row["shards_in_window"] == pytest.approx(row["shards_in_window_random"], abs=0.5)
        assert row["buffered"] == 500 * 100


def test_bench_shows_shuffles_in_words(ten_shards):
    lines = run_asyncwds("bench", "--shuffle", "50", "--shards-in-order", ten_shards).stdout.splitlines()
    assert lines[0] == "shards in order, buffer 50, interleave 1"
    assert [line.split()[0] for line in lines[1:]] == ["same", "distance", "batch", "holds"]
    assert "5.0 kB in the buffer" in lines[-1]
    alone = run_asyncwds("bench", "--shuffle", "50", "-n", "1", ten_shards).stdout.splitlines()
    assert alone[1].strip() == "fewer than two samples"


def test_bench_says_what_it_read_and_what_limits(shard):
    done = run_asyncwds("bench", "--connections", "3", f"{shard}::{shard}")
    names = [line.split("  ")[0] for line in done.stdout.splitlines()]
    assert names == ["samples", "bytes", "CPU", "first sample", "requests", "limit", "connections", "parts"]
    assert "connections    3: that was given\n" in done.stdout
    assert done.stdout.split()[1] == "8"
    assert run_asyncwds("bench", "-n", "3", shard).stdout.split()[1] == "3"


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["ls", "nothing.tar"], 3, "NotFoundError: No such file"),
        (["ls", __file__], 2, "TarHeaderError: "),
        (["ls", "gopher://x/y.tar"], 1, "SpecError: no storage for gopher: urls"),
        (["bench", "{1..3"], 1, "SpecError"),
    ],
)
def test_an_error_is_one_line_and_a_status_by_its_kind(arguments, status, words):
    done = run_asyncwds(*arguments)
    assert done.returncode == status
    assert done.stdout == ""
    assert done.stderr.startswith("asyncwds: ")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(("arguments", "first"), [(["ls"], b"{}\ttxt:0\n"), (["cat", "-o", "-"], b"{}.txt")])
def test_a_reader_that_leaves_early_is_no_error(arguments, first, tmp_path):
    """`asyncwds ls ... | head`: more than a pipe holds."""
    keys = [f"{number:04d}{'x' * 90}" for number in range(2000)]
    (tmp_path / "a.tar").write_bytes(make_shard([{"__key__": key, "txt": ""} for key in keys]))
    command = [*COMMAND, *arguments, tmp_path / "a.tar"]
    first = first.replace(b"{}", keys[0].encode())
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.read(len(first)) == first
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == 141


@pytest.mark.parametrize(
    "arguments",
    [
        ["ls", "{}", "--json"],
        ["get", "{}", "k1.txt"],
        ["get", "{}", "k1"],
        ["get", "{}", "k1", "-o", "-"],
        ["export", "{}", "-f", "csv", "-o", "-"],
        ["export", "{}", "-f", "parquet", "-o", "-"],
        ["cat", "{}", "-o", "-"],
        ["sort", "{}", "-o", "-"],
        ["cat", "{}", "--dry-run", "--json"],
        ["stat", "{}"],
        ["show", "{}"],
        ["verify", "{}"],
    ],
)
@pytest.mark.needs("pyarrow")
def test_output_that_nobody_reads(arguments, shard, monkeypatch, capsys):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as unread:
        monkeypatch.setattr(sys, "stdout", unread)
        monkeypatch.setattr("tqdm.tqdm.monitor_interval", 0)  # whose thread would stay
        with pytest.raises(SystemExit) as ended:
            main([argument.format(shard) for argument in arguments])
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), writer)  # what is left in its buffer
    assert ended.value.code == 141
    assert capsys.readouterr().err == ""


def test_standard_output_that_is_not_there(shard, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr("tqdm.tqdm.monitor_interval", 0)  # as above
    with pytest.raises(SystemExit) as ended:
        main(["cat", str(shard), "-o", "-"])
    assert (ended.value.code, "standard output is closed" in capsys.readouterr().err) == (3, True)


def test_demo_draws_serves_streams_and_trains():
    done = run_asyncwds("demo", "--samples", "128", "--train-seconds", "0.5", env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("drew 128 images into 16 shards")
    assert lines[2].startswith("one connection")
    assert " 1 connection at most" in lines[2]
    assert lines[3].startswith("asyncwds")
    assert "times as fast as one connection" in lines[4]
    trains = importlib.util.find_spec("torch") is not None
    assert lines[5].startswith("trained a small classifier for " if trains else "torch is not installed")
    assert "images/s, loss" in lines[5] or not trains


def test_the_bar_shows_what_is_waited_for(shard):
    """On a terminal; the server refuses connections for some seconds."""
    with FaultServer(shard.parent) as gone:
        url = gone.url("a.tar")
    terminal, end = pty.openpty()
    termios.tcsetwinsize(end, (24, 250))
    command = [*COMMAND, "ls", url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=end, text=True) as process:
        os.close(end)
        try:
            shown = b""
            while b"nothing from http://" not in shown:
                shown += os.read(terminal, 10_000)
            with FaultServer(shard.parent, host=gone.host, port=gone.port):
                with suppress(OSError):  # which says that nobody is at the other end any more
                    while os.read(terminal, 10_000):
                        pass
                listed, _ = process.communicate(timeout=100)
        finally:
            process.kill()
            os.close(terminal)
    assert process.returncode == 0
    assert listed.splitlines()[0] == "k0\ttxt:0\tcls:1"
    assert b"ls: 0 samples" in shown
