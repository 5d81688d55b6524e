"""Samples that are copied in runs: nobody can tell them from those that are copied one by one."""

from __future__ import annotations

import gc
import io
import os
import subprocess
import sys
import tarfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from asyncwds.errors import WdsError
from asyncwds.testing import Fault, FaultServer, leaks
from asyncwds.tools import Inputs, Outputs, Report, Selection, cat_shards, split_shards

NAMES = ["a.x", "a.y", "b.x", "b.Y", "c.x", "d/c.x", "d.e/c.x", "README", "__m__/i.x", "_a.x", "long/" * 30 + "a.x", "ä.x", "d/"]
members = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from([0, 1, 600, 5000, 20_000])), max_size=12)
shards = st.lists(
    st.tuples(
        members,
        st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
        st.sampled_from([0, 1.5]),
        st.one_of(st.none(), st.integers(0, 30_000)),
        st.lists(st.tuples(st.integers(0, 20_000), st.integers(1, 255)), max_size=1),
    ),
    min_size=1,
    max_size=3,
)
ways = st.sampled_from(
    [{}, {"max_count": 2}, {"max_count": 3, "hashed": True}, {"max_size": 4096}, {"max_size": 30_000}, {"number": 2}]
)


def written(files: list[tuple[str, int]], form: int, mtime: float) -> bytearray:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for number, (name, size) in enumerate(files):
            info = tarfile.TarInfo(name)
            info.size, info.mtime = size, mtime  # type: ignore[assignment]
            info.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            tar.addfile(info, io.BytesIO(b"%d" % (number % 10) * size))
    return bytearray(buffer.getvalue())


def copied(urls: list[str], folder: Path, number: int | None = None, **options: Any) -> tuple[Any, dict[str, bytes]]:
    """The report or the error, warnings, and what was written."""
    folder.mkdir()
    inputs = Inputs(urls=urls, on_error="skip" if len(urls) > 1 else "fail")
    many = number is not None or bool({"max_count", "max_size"} & options.keys())
    outputs = Outputs(target=str(folder / ("{shard}.tar" if many else "a.tar")), same_key="number", **options)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            outcome: Any = split_shards(inputs, outputs, number=number) if many else cat_shards(inputs, outputs)
        except WdsError as error:
            outcome = str(error)
    for shard in outcome.shards if isinstance(outcome, Report) else ():
        shard["url"] = Path(shard["url"]).name
    said = [str(warning.message) for warning in warned]
    return (outcome, said), {path.name: path.read_bytes() for path in folder.iterdir()}


@hypothesis.given(shards, ways)
@hypothesis.settings(max_examples=60)
def test_the_same_comes_out_with_the_accelerator_and_without(shards: Any, way: dict[str, Any]) -> None:
    with TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        folder, urls = Path(name), []
        for number, (files, form, mtime, cut, changes) in enumerate(shards):
            data = written(files, form, mtime)[:cut]
            for place, change in changes:
                if place < len(data):
                    data[place] ^= change
            urls.append(str(folder / f"in-{number}.tar"))
            Path(urls[-1]).write_bytes(data)
        fast = copied(urls, folder / "fast", **way)
        patch.setenv("ASYNCWDS_PURE", "1")
        assert copied(urls, folder / "slow", **way) == fast


def test_runs_of_large_samples_and_what_is_odd_between(write: Callable[..., str], tmp_path: Path) -> None:
    """More than is found at a time; a key that goes on behind a member of no sample; and a key that goes on in the next shard."""
    large = [(f"{number}.{field}", bytes([number]) * 2_000_000) for number in range(7) for field in "ab"]
    one = write("a.tar", [*large, ("odd", b""), ("6.c", b"1"), ("7.a", b"2"), ("8.a", b"3"), ("9.a", b"4")])
    two = write("b.tar", [("9.a", b"5"), ("9.b", b"6"), ("10.a", b"7"), ("11.a", b"8")])
    with leaks():
        report = cat_shards(Inputs(urls=[one, two]), Outputs(target=str(tmp_path / "out.tar"), same_key="number"))
    assert (report.samples_out, report.renumbered, sum(report.left_out.values())) == (13, 1, 1)
    with tarfile.open(tmp_path / "out.tar") as archive:
        names = archive.getnames()
        assert archive.extractfile("6.b").read() == large[-1][1]  # type: ignore[union-attr]
    assert names == [*[name for name, _ in large], "6.c", "7.a", "8.a", "9.a", "9-1.a", "9-1.b", "10.a", "11.a"]


@contextmanager
def without_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def test_a_shard_that_becomes_shorter(write: Callable[..., str], tmp_path: Path) -> None:
    """No output is made of what is not there any more."""
    shard = Path(write("a.tar", [(f"{number}.a", bytes(1_000_000)) for number in range(20)]))
    seen: list[int] = []

    def cutting(items: Any, /) -> Any:
        for item in items:
            seen.append(1)
            shard.write_bytes(b"")
            yield item

    with without_collector():
        with pytest.raises(WdsError, match="became shorter"):
            cat_shards(Inputs(urls=[str(shard)], watch=cutting), Outputs(target=str(tmp_path / "out.tar")))
        assert not open_files(str(shard))
    assert seen
    assert not (tmp_path / "out.tar").exists()


def test_a_shard_that_cannot_be_completed_while_the_next_one_is_written(numbered: Callable[..., str]) -> None:
    """It is the error, and nothing is said to be complete behind it; an error of the next one leaves it complete."""
    shard = numbered("a.tar", 20)
    with FaultServer({}, writable=True) as bucket:
        target = bucket.url() + "{shard}.tar"
        report = split_shards(Inputs(urls=[shard]), Outputs(target=target, max_count=6))
        assert [each["samples"] for each in report.shards] == [6, 6, 6, 2]
        assert [len(bucket.get(f"{number}.tar") or b"") for number in range(4)] == [each["bytes"] for each in report.shards]
        before = [bucket.get(f"{number}.tar") for number in range(4)]
        bucket.add(Fault(path="1.tar", status=403))
        with pytest.raises(WdsError, match="1.tar"):
            split_shards(Inputs(urls=[shard]), Outputs(target=target, max_count=4, force=True))
        assert [bucket.get(f"{number}.tar") == before[number] for number in range(4)] == [False, True, True, True]
        with pytest.raises(WdsError, match="1.tar"):  # the last one
            split_shards(Inputs(urls=[shard]), Outputs(target=target, max_count=10, force=True))


@pytest.mark.parametrize("wanted", [Selection(), Selection(rename={}, seed=3)])  # the second as the command line makes it
def test_where_all_samples_are_wanted_they_are_copied_in_runs(wanted: Selection) -> None:
    assert wanted.is_everything
    assert not Selection(rename={"a": "b"}).is_everything
    assert not Selection(limit=0).is_everything


@pytest.mark.parametrize(
    "command", [["cat", "-o", "b.tar"], ["split", "--max-count", "5", "-o", "b-{shard}.tar"]], ids=itemgetter(0)
)
def test_what_copies_local_shards_imports_no_more(
    command: list[str], write: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No event loop, no engine, no store: a command of a second would take half as long again."""
    monkeypatch.chdir(tmp_path)
    arguments = [*command, write("a.tar", [("a.x", b"1")])]
    program = "import sys; from asyncwds.cli import main\ntry: main(sys.argv[1:])\nfinally: print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True)
    imported = set(done.stdout.split())
    assert not imported & {"asyncio", "aiohttp", "logging", "concurrent.futures", "asyncwds.engine.source", "asyncwds.storage.base"}
    assert not {name for name in imported if name.startswith(("asyncwds.storage.stores.", "asyncwds.storage.http."))}


def test_an_error_of_an_output_closes_what_was_read(numbered: Callable[..., str]) -> None:
    """At once, and not when the collector comes by: a notebook goes on after it."""
    shard = numbered("a.tar", 20)

    def fails(outputs: Outputs) -> bool:  # pytest.raises would hold the error
        try:
            cat_shards(Inputs(urls=[shard]), outputs)
        except WdsError:
            return True
        return False

    with without_collector(), FaultServer({}, writable=True) as bucket:
        for target, most in {"one.tar": None, "{shard}.tar": 6}.items():
            bucket.add(Fault(status=403))
            assert fails(Outputs(target=bucket.url() + target, max_count=most))
            assert not open_files(shard)


def open_files(path: str) -> list[str]:
    return [found for each in Path("/proc/self/fd").iterdir() if (found := os.path.realpath(each)) == path]
