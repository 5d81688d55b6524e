from __future__ import annotations

import pickle
from io import StringIO
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from asyncwds import WorkerInfo, ignore_and_continue, info, log_keys
from asyncwds.pipeline import Info, LogKeys, RunContext, run_alone
from asyncwds.testing import leaks


def shown(*items: Any, **options: Any) -> str:
    stream = StringIO()
    assert list(info(stream=stream, **options)(iter(items))) == list(items)
    return stream.getvalue()


def test_the_first_samples_and_every_so_many() -> None:
    items = [{"a": number} for number in range(10)]
    assert shown(*items, fmt="{a}") == "0\n1\n2\n"
    assert shown(*items, fmt="{a}", n=1, every=4) == "0\n3\n7\n"
    assert shown(*items, fmt="{a}", n=0) == ""


def test_fields_are_lines_cut_to_a_width() -> None:
    item = {"__key__": "k", "jpg": b"\xff" * 10_000_000, "meta": {"x": "y" * 99}}
    lines = shown(item, name="here").splitlines()
    assert lines[:2] == ["--- here", "__key__ 'k'"]
    assert lines[2] == "jpg " + repr(b"\xff" * 50)[:50]
    assert lines[3] == "meta " + repr(item["meta"])[:50]


def test_samples_of_any_kind() -> None:
    assert shown((1, "x")) == "--- \n0 1\n1 'x'\n"
    assert shown((1, "x"), fmt="{1} {0}") == "x 1\n"
    assert shown(7) == "--- \n 7\n"
    assert shown(7, fmt="<{}>") == "<7>\n"


def test_standard_error_is_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    list(info("{a}")([{"a": 1}]))
    assert capsys.readouterr() == ("", "1\n")


def test_a_format_that_does_not_fit_goes_to_the_handler() -> None:
    with pytest.raises(KeyError) as caught:
        shown({"__key__": "k"}, fmt="{q}")
    assert caught.value.__notes__ == ["in stage info, sample 'k'"]
    stage = info("{q}", stream=StringIO(), handler=ignore_and_continue)
    assert list(stage([{"a": 1}, {"q": 2}])) == [{"q": 2}]


def test_a_log_of_keys(tmp_path: Path) -> None:
    items = [{"__key__": "k1"}, {"__key__": "é", "__worker__": 5, "__rank__": 6}, (1, 2)]
    with leaks():
        for _ in range(2):
            assert list(run_alone(log_keys(tmp_path / "log"), items, RunContext(0, 0, WorkerInfo(1, 2, 3, 4)))) == items
    lines = ["0\t3\t1\tk1", "1\t5\t6\té", "2\t3\t1\tNone"]
    assert (tmp_path / "log").read_text("utf-8").splitlines() == lines * 2
    list(log_keys(tmp_path / "alone")(items[:1]))
    assert (tmp_path / "alone").read_text() == "0\t0\t0\tk1\n"


@pytest.mark.parametrize("logfile", [None, ""])
def test_without_a_file_nothing_is_logged(logfile: Any) -> None:
    assert list(log_keys(logfile)(iter([1, 2]))) == [1, 2]


def test_a_line_is_there_when_its_sample_is_and_the_file_is_closed_when_the_iterator_is_dropped(tmp_path: Path) -> None:
    with leaks():
        stream = iter(log_keys(tmp_path / "log")([{"__key__": "a"}, {"__key__": "b"}]))
        next(stream)
        assert (tmp_path / "log").read_text().count("\n") == 1
        del stream


def _log(path: str, worker: int) -> None:
    list(run_alone(log_keys(path), [{"__key__": "x" * 200}] * 500, RunContext(0, 0, WorkerInfo(worker=worker))))


def test_processes_share_a_log(tmp_path: Path) -> None:
    processes = [get_context("fork").Process(target=_log, args=(str(tmp_path / "log"), worker)) for worker in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    lines = (tmp_path / "log").read_text().splitlines()
    assert sorted(lines) == sorted(f"{number}\t{worker}\t0\t{'x' * 200}" for worker in range(4) for number in range(500))


@pytest.mark.parametrize("stage", [info("{a}", name="x"), log_keys("log")])
def test_they_are_data(stage: Info | LogKeys) -> None:
    assert pickle.loads(pickle.dumps(stage)) == stage
    assert repr(stage).startswith(type(stage).__name__ + "(")
