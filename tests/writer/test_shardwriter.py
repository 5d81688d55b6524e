"""Sequences of shards: where they are cut, what is visible when, and what a failure leaves."""

import gc
import hashlib
import io
import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import asyncwds as wds
from asyncwds.errors import EncodeError, FetchError, NotFoundError, SampleError, SpecError
from asyncwds.shards import ShardRecord
from asyncwds.testing import leaks


def pattern(folder: Path) -> str:
    return str(folder / "a-%03d.tar")


def test_shards_of_so_many_samples(tmp_path: Path, samples: Any, read: Any, names: Any) -> None:
    with leaks(), wds.ShardWriter(pattern(tmp_path), maxcount=4) as sink:
        assert {sink.write(sample) for sample in samples(10)} == {101}
        assert names()[-2:] == ["a-000.tar", "a-001.tar"], "the third is not complete yet"
    assert names() == ["a-000.tar", "a-001.tar", "a-002.tar"]
    assert [len(read(path)) for path in sorted(tmp_path.iterdir())] == [4, 4, 2]
    assert read(*sorted(tmp_path.iterdir())) == samples(10)


def test_what_it_counts(tmp_path: Path, samples: Any) -> None:
    sink = wds.ShardWriter(tmp_path / "a-%03d.tar", maxcount=4, start_shard=7)
    assert (sink.fname, sink.shard, sink.count, sink.size, sink.total) == (None, 7, 0, 0, 0)
    for sample in samples(6):
        sink.write(sample)
    assert (sink.fname, sink.shard, sink.count, sink.size, sink.total) == (pattern(tmp_path) % 8, 9, 2, 202, 6)
    assert (sink.pattern, sink.maxcount, sink.maxsize, sink.tarstream is not None) == (pattern(tmp_path), 4, 3e9, True)
    sink.close()
    assert (sink.total, sink.tarstream) == (6, None)
    assert [(record.samples, record.bytes, record.sha256) for record in sink.records] == [(4, 10240, None), (2, 10240, None)]


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 30_000), min_size=1, max_size=30),
    st.integers(1, 8),
    st.integers(10_240, 60_000),
    st.text("kd/é", min_size=1, max_size=120).filter(lambda key: not key.endswith("/")),
)
def test_no_shard_is_larger_or_emptier_than_it_may_be(sizes: list[int], maxcount: int, maxsize: int, key: str) -> None:
    class File(io.BytesIO):
        def close(self) -> None:
            """Stays readable."""

    def opener(name: str) -> File:
        files.append(File())
        return files[-1]

    files: list[File] = []
    with wds.ShardWriter("%d", maxcount, maxsize, opener=opener) as sink:
        for number, size in enumerate(sizes):
            sink.write({"__key__": f"{key}{number}", "bin": bytes(size), "cls": number})
    assert [record.bytes for record in sink.records] == [len(file.getvalue()) for file in files]
    assert sum(record.samples for record in sink.records) == len(sizes)
    assert all(1 <= record.samples <= maxcount for record in sink.records)
    assert all(record.bytes <= maxsize or record.samples == 1 for record in sink.records)


def test_a_shard_is_filled_to_the_last_byte(tmp_path: Path) -> None:
    # Two blocks a sample and two at the end: nine fit into 10 KiB.
    with wds.ShardWriter(pattern(tmp_path), maxsize=10_240) as sink:
        for number in range(27):
            sink.write({"__key__": str(number), "bin": bytes(512)})
    assert [record.samples for record in sink.records] == [9, 9, 9]


def test_without_a_sample_there_is_no_shard(tmp_path: Path, names: Any) -> None:
    with leaks(), wds.ShardWriter(pattern(tmp_path)) as sink:
        sink.next_stream()
        sink.finish()
        with pytest.raises(EncodeError):
            sink.write({"__key__": "a", "jpg": 5})
    assert names() == []
    assert (sink.shard, sink.records) == (0, [])


def test_shards_can_be_cut_by_hand(tmp_path: Path, samples: Any, read: Any) -> None:
    with wds.ShardWriter(pattern(tmp_path)) as sink:
        for number, sample in enumerate(samples(5)):
            sink.write(sample)
            if number in {0, 3}:
                sink.next_stream()
                sink.next_stream()
    assert [len(read(path)) for path in sorted(tmp_path.iterdir())] == [1, 3, 1]


@pytest.mark.parametrize("bad", ["a.tar", "a-%d-%d.tar", "a-%q.tar", "100%.tar"])
def test_patterns_without_a_place_for_the_number(bad: str) -> None:
    with pytest.raises(SpecError, match="one place for a number"):
        wds.ShardWriter(bad)
    with pytest.raises(SpecError, match="maxcount"):
        wds.ShardWriter("a-%d.tar", maxcount=0)
    with pytest.raises(TypeError, match="nonsense"):
        wds.ShardWriter("a-%d.tar", nonsense=1)
    with pytest.raises(SpecError, match="compress"):
        wds.ShardWriter("a-%d.tar", compress="rar")


def test_the_hook_comes_after_each_shard(tmp_path: Path, samples: Any) -> None:
    seen: list[tuple[str, bool]] = []
    with wds.ShardWriter(pattern(tmp_path), maxcount=2, post=lambda name: seen.append((name, Path(name).exists()))) as sink:
        for sample in samples(5):
            sink.write(sample)
        assert len(seen) == 2
    assert seen == [(pattern(tmp_path) % number, True) for number in range(3)]


def test_a_hook_that_fails_is_an_error(tmp_path: Path, samples: Any, read: Any, names: Any) -> None:
    def post(name: str) -> None:
        if name.endswith("1.tar"):
            raise ConnectionError("not uploaded")

    with (
        leaks(),
        pytest.raises(ConnectionError) as caught,
        wds.ShardWriter(pattern(tmp_path), 2, post=post, manifest=tmp_path / "m.json") as sink,
    ):
        for sample in samples(7):
            sink.write(sample)
    assert caught.value.__notes__ == [f"in the post hook, for {pattern(tmp_path) % 1}"]
    assert names() == ["a-000.tar", "a-001.tar"]
    with (
        pytest.raises(ConnectionError),
        wds.ShardWriter(pattern(tmp_path), 2, start_shard=1, post=post, manifest=tmp_path / "m.json") as sink,
    ):
        sink.write(samples(1)[0])
    sink.close()
    assert "m.json" not in names()


def test_files_of_an_opener_are_closed(samples: Any) -> None:
    class File(io.BytesIO):
        def close(self) -> None:
            closed.append(len(self.getvalue()))
            super().close()

    closed: list[int] = []
    opened: list[str] = []

    def opener(name: str) -> File:
        opened.append(name)
        return File()

    with wds.ShardWriter("x-%d.tar.gz", maxcount=2, opener=opener) as sink:
        for sample in samples(5):
            sink.write(sample)
    assert opened == ["x-0.tar.gz", "x-1.tar.gz", "x-2.tar.gz"]
    assert closed == [10240] * 3, "whoever opens the file decides about compression"
    with pytest.raises(ZeroDivisionError), wds.ShardWriter("x-%d.tar", opener=opener) as sink:
        sink.write(samples(1)[0])
        raise ZeroDivisionError
    assert closed[3:] == [0]


def test_it_logs_and_prints_nothing(
    tmp_path: Path, samples: Any, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO)
    for verbose in (1, 0):
        with wds.ShardWriter(pattern(tmp_path), 2, verbose=verbose) as sink:
            for sample in samples(3):
                sink.write(sample)
    assert [(record.name, record.getMessage()) for record in caplog.records] == [
        ("asyncwds.writer", f"writing {pattern(tmp_path) % 0}; so far 0 samples in 0 shards"),
        ("asyncwds.writer", f"writing {pattern(tmp_path) % 1}; so far 2 samples in 1 shards"),
    ]
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("compress", [None, "gz"])
def test_the_manifest(tmp_path: Path, samples: Any, manifest: Any, compress: str | None) -> None:
    with leaks(), wds.ShardWriter(pattern(tmp_path), 2, manifest=tmp_path / "m.json", compress=compress) as sink:
        for sample in samples(5, 1_500_000):
            sink.write(sample)
    found = manifest(tmp_path / "m.json")
    shards = found.pop("shards")
    assert found == {"format": "asyncwds-manifest-1", "samples": 5, "bytes": sum(shard["bytes"] for shard in shards)}
    assert [(shard["url"], shard["samples"]) for shard in shards] == [("a-000.tar", 2), ("a-001.tar", 2), ("a-002.tar", 1)]
    for shard in shards:
        data = (tmp_path / shard["url"]).read_bytes()
        assert (shard["bytes"], shard["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    assert [ShardRecord(**shard | {"url": str(tmp_path / shard["url"])}) for shard in shards] == sink.records


def test_urls_in_a_manifest(tmp_path: Path, samples: Any, manifest: Any) -> None:
    (tmp_path / "sub").mkdir()
    for place, expected in [("m.json", "sub/0.tar"), ("sub/m.json", "0.tar")]:
        with wds.ShardWriter(tmp_path / "sub" / "%d.tar", manifest=tmp_path / place) as sink:
            sink.write(samples(1)[0])
        assert [shard["url"] for shard in manifest(tmp_path / place)["shards"]] == [expected]
    (tmp_path / "other").mkdir()
    with wds.ShardWriter(tmp_path / "sub" / "%d.tar", manifest=tmp_path / "other" / "m.json") as sink:
        sink.write(samples(1)[0])
    assert [shard["url"] for shard in manifest(tmp_path / "other" / "m.json")["shards"]] == [str(tmp_path / "sub" / "0.tar")]


def test_a_manifest_of_nothing(tmp_path: Path, manifest: Any) -> None:
    with wds.ShardWriter(pattern(tmp_path), manifest=tmp_path / "m.json"):
        pass
    assert manifest(tmp_path / "m.json") == {"format": "asyncwds-manifest-1", "samples": 0, "bytes": 0, "shards": []}


def test_the_same_samples_give_the_same_files(tmp_path: Path, samples: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        with wds.ShardWriter(tmp_path / name / "%d.tar.gz", 3, mtime=0, manifest=tmp_path / name / "m.json") as sink:
            for sample in samples(10):
                sink.write(sample)
        found.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
        monkeypatch.setattr(time, "time", lambda: 2e9)
    assert found[0] == found[1]
    assert len(found[0]) == 5


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_after_an_error_only_complete_shards_are_there(
    tmp_path: Path, samples: Any, read: Any, names: Any, error: type[BaseException]
) -> None:
    with leaks(), pytest.raises(error), wds.ShardWriter(pattern(tmp_path), 2, manifest=tmp_path / "m.json") as sink:
        for sample in samples(5, 1_000_000):
            sink.write(sample)
        raise error
    assert names() == ["a-000.tar", "a-001.tar"]
    assert len(read(*sorted(tmp_path.iterdir()))) == 4


def test_never_closed(tmp_path: Path, samples: Any, names: Any) -> None:
    with leaks():
        sink = wds.ShardWriter(pattern(tmp_path), 2)
        for sample in samples(3):
            sink.write(sample)
        with pytest.warns(RuntimeWarning, match=r"a-001\.tar was never closed"):  # noqa: PT031 - dropping it is what warns
            del sink
            gc.collect()
    assert names() == ["a-000.tar"]


def test_a_sample_that_cannot_be_written_leaves_the_others(tmp_path: Path, read: Any) -> None:
    with wds.ShardWriter(pattern(tmp_path), 2) as sink:
        for number in range(5):
            sink.write({"__key__": str(number), "cls": number})
            with pytest.raises(SampleError):
                sink.write({"__key__": "a.b", "cls": number})
    assert [sample["cls"] for sample in read(*sorted(tmp_path.iterdir()))] == list(range(5))
    assert [record.samples for record in sink.records] == [2, 2, 1]


def test_a_shard_that_cannot_be_opened_is_tried_again(tmp_path: Path, samples: Any, read: Any) -> None:
    with wds.ShardWriter(tmp_path / "sub" / "%d.tar") as sink:
        with pytest.raises(NotFoundError):
            sink.write(samples(1)[0])
        (tmp_path / "sub").mkdir()
        sink.write(samples(1)[0])
    assert read(tmp_path / "sub" / "0.tar") == samples(1)


def test_after_a_write_that_failed_there_are_no_others(tmp_path: Path, samples: Any, names: Any) -> None:
    class Full(io.BytesIO):
        def write(self, _: Any) -> int:
            raise OSError(28, "No space left on device")

    with leaks():
        sink = wds.ShardWriter("%d", opener=lambda name: Full(), manifest=tmp_path / "m.json")
        with pytest.raises(FetchError, match="No space left"):
            sink.write({"__key__": "a", "bin": bytes(2_000_000)})
        with pytest.raises(SpecError, match="an earlier write failed"):
            sink.write(samples(1)[0])
        sink.close()
    assert names() == []


DISK_FULL = """
import resource, sys
import asyncwds as wds
resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, 3_000_000))
try:
    with wds.ShardWriter(sys.argv[1], maxcount=3, manifest=sys.argv[2]) as sink:
        for number in range(8):
            # The second shard does not fit on the disk.
            sink.write({"__key__": str(number), "bin": bytes(900_000 if number < 3 else 1_100_000)})
except wds.errors.FetchError as error:
    print(type(error).__name__, error.url, error.offset)
"""


def test_29_disk_full(tmp_path: Path, read: Any, names: Any) -> None:
    command = [sys.executable, "-c", DISK_FULL, pattern(tmp_path), str(tmp_path / "m.json")]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said == f"FetchError {pattern(tmp_path) % 1} 3000000\n"
    assert names() == ["a-000.tar"]
    assert len(read(tmp_path / "a-000.tar")) == 3


WITHOUT_END = """
import sys, time
import asyncwds as wds
sink = wds.ShardWriter(sys.argv[1], maxcount=3)
number = 0
while True:
    sink.write({"__key__": str(number), "bin": bytes(1_500_000)})
    number += 1
    if number == 11:
        print("ready", flush=True)
        time.sleep(100 if sys.argv[2] == "wait" else 0)
        break
"""


def run(folder: Path, what: str, *, nameless: bool = True) -> subprocess.Popen[str]:
    code = WITHOUT_END if nameless else f"from asyncwds.storage.local import output\noutput.NAMELESS = None\n{WITHOUT_END}"
    command = [sys.executable, "-c", code, pattern(folder), what]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def have_nameless_files(folder: Path) -> bool:
    try:
        os.close(os.open(folder, os.O_WRONLY | os.O_TMPFILE))
    except (OSError, AttributeError):
        return False
    return True


@pytest.mark.parametrize("ended", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("nameless", [True, False])
def test_35_killed_in_the_middle_of_a_shard(tmp_path: Path, read: Any, ended: signal.Signals, nameless: bool) -> None:
    with run(tmp_path, "wait", nameless=nameless) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(ended)
    shards = sorted(tmp_path.glob("*.tar"))
    assert [path.name for path in shards] == ["a-000.tar", "a-001.tar", "a-002.tar"]
    assert len(read(*shards)) == 9
    left = [path.name for path in tmp_path.iterdir() if path not in shards]
    assert len(left) == (0 if nameless and have_nameless_files(tmp_path) else 1)
    assert all(name.startswith(".a-003.tar.") and name.endswith(".partial") for name in left)


@pytest.mark.parametrize("nameless", [True, False])
def test_killed_again_and_again_no_shard_is_ever_half(tmp_path: Path, read: Any, nameless: bool) -> None:
    for delay in (0.0, 0.003, 0.01):
        with run(tmp_path, "wait", nameless=nameless) as process:
            deadline = time.monotonic() + 20
            while not list(tmp_path.iterdir()) and time.monotonic() < deadline:
                time.sleep(0.001)
            time.sleep(delay)
            process.send_signal(signal.SIGKILL)
        assert all(len(read(path)) == 3 for path in tmp_path.glob("*.tar"))


def test_39_the_interpreter_ends_before_the_writer_is_closed(tmp_path: Path, names: Any) -> None:
    with run(tmp_path, "end") as process:
        _, said = process.communicate()
    assert process.returncode == 0
    assert "a-003.tar was never closed" in said
    assert names() == ["a-000.tar", "a-001.tar", "a-002.tar"]


def test_36_ctrl_c(tmp_path: Path, names: Any) -> None:
    with run(tmp_path, "wait") as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate()
    assert "KeyboardInterrupt" in said
    assert names() == ["a-000.tar", "a-001.tar", "a-002.tar"]


def test_large_shards_take_little_memory(tmp_path: Path) -> None:
    code = """
import resource, sys
import asyncwds as wds
payload = bytes(500_000)
with wds.ShardWriter(sys.argv[1], manifest=sys.argv[2]) as sink:
    sink.write({"__key__": "x", "bin": payload})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(400):
        sink.write({"__key__": str(number), "bin": payload})
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10)
"""
    command = [sys.executable, "-c", code, pattern(tmp_path), str(tmp_path / "m.json")]
    grown = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert grown < 20_000_000
    assert json.loads((tmp_path / "m.json").read_text())["bytes"] > 200_000_000
