from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

import asyncwds as wds
from asyncwds import WorkerInfo
from asyncwds.errors import CacheError, DecodeError, SpecError
from asyncwds.pipeline import RunContext, run_alone
from asyncwds.pipeline.stages import lmdb_cached
from asyncwds.testing import leaks

pytestmark = pytest.mark.needs("lmdb")

SAMPLES = [{"__key__": "same", "n": number, "bin": bytes(number)} for number in range(25)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "cache"


def left(path: Path) -> list[str]:
    return sorted(found.name for found in path.parent.glob("*")) if path.parent.exists() else []


@pytest.mark.parametrize("chunksize", [1, 10, 25, 500])
def test_a_complete_pass_is_kept_in_order_with_equal_keys(path: Path, chunksize: int) -> None:
    stage = wds.LMDBCached(path, chunksize=chunksize)
    assert not stage.is_complete()
    with leaks():
        assert list(stage(iter(SAMPLES))) == SAMPLES
        assert stage.is_complete()
        assert list(stage(iter([]))) == SAMPLES
        assert list(wds.LMDBCached(str(path)).run(iter([1]))) == SAMPLES
    assert left(path) == ["cache"]


def test_what_passes_is_not_held_back(path: Path) -> None:
    source = iter(SAMPLES)
    next(iter(wds.LMDBCached(path)(source)))
    assert next(source)["n"] == 1


def test_large_samples_are_written_and_read_in_small_chunks(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lmdb_cached, "CHUNK_BYTES", 1000)
    samples = [bytes([number]) * 700 for number in range(9)]
    stage = wds.LMDBCached(path)
    assert list(stage(iter(samples))) == list(stage(iter([]))) == samples
    chunk = lmdb_cached.Chunk(500)
    assert [(chunk.add(b"k", data), chunk.is_full())[1] for data in samples[:2]] == [False, True]


def test_a_pass_that_is_left_early_or_fails_keeps_nothing(path: Path) -> None:
    def failing() -> Any:
        yield from SAMPLES
        raise OSError("network")

    stage = wds.LMDBCached(path, chunksize=2)
    with leaks():
        assert list(islice(stage(iter(SAMPLES)), 9)) == SAMPLES[:9]
        with pytest.raises(OSError, match="network"):
            list(stage(failing()))
    assert not stage.is_complete()
    assert left(path) == []
    assert list(stage(iter([]))) == []
    assert stage.is_complete()


def test_an_empty_pass_is_complete_too(path: Path) -> None:
    stage = wds.LMDBCached(path)
    assert [list(stage(iter(items))) for items in ([], [1])] == [[], []]


def test_two_passes_at_once(path: Path) -> None:
    # The first one that is complete counts, and readers of it never see the other.
    stage = wds.LMDBCached(path, chunksize=2)
    first, second = stage(iter(SAMPLES)), stage(iter(SAMPLES[::-1]))
    next(first), next(second)
    assert list(second) == SAMPLES[::-1][1:]
    reader = stage(iter([]))
    assert next(reader) == SAMPLES[-1]
    assert list(first) == SAMPLES[1:]
    assert list(reader) == SAMPLES[::-1][1:]
    assert left(path) == ["cache"]


def test_threads_share_a_cache(path: Path) -> None:
    stage = wds.LMDBCached(path, chunksize=1)
    list(stage(iter(SAMPLES)))
    results: list[Any] = []
    threads = [threading.Thread(target=lambda: results.append(list(stage(iter([]))))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [SAMPLES] * 4


def _second_pass(stage: Any, results: Any) -> None:
    results.put(list(stage(iter([]))))


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_processes_share_a_cache(path: Path, context: str) -> None:
    stage = wds.LMDBCached(path, chunksize=2)
    list(stage(iter(SAMPLES)))
    reader = stage(iter([]))
    next(reader)
    processes = multiprocessing.get_context(context)
    results = processes.SimpleQueue()
    children = [processes.Process(target=_second_pass, args=(stage, results)) for _ in range(2)]
    for child in children:
        child.start()
    assert [results.get() for _ in children] == [SAMPLES] * 2
    for child in children:
        child.join()
    assert list(reader) == SAMPLES[1:]


def test_places_have_folders_of_their_own(path: Path) -> None:
    stage = wds.LMDBCached(path)
    assert list(run_alone(stage, [1], RunContext(0))) == [1]
    assert list(run_alone(stage, [2], RunContext(0, 0, WorkerInfo(1, 2, 3, 4)))) == [2]
    assert list(run_alone(stage, [], RunContext(7, 9, WorkerInfo(1, 2, 3, 4)))) == [2]
    assert list(stage(iter([]))) == [1]
    assert not stage.replays(RunContext(0, 0, WorkerInfo(0, 2)))
    assert left(path) == ["cache", "cache.rank1of2.worker3of4"]


def test_later_stages_cannot_change_what_is_kept(path: Path) -> None:
    stage = wds.LMDBCached(path)
    for source in ([{"a": 1}], []):
        for sample in stage(iter(source)):
            sample["a"] += 1
            assert sample == {"a": 2}


def test_an_unfinished_database_of_webdataset_gives_way(path: Path) -> None:
    stage = wds.LMDBCached(path)
    stage.add_samples([("k1", 1), ("k0", 0)])
    assert not stage.is_complete()
    assert list(stage(iter([5]))) == list(stage(iter([]))) == [5]
    assert left(path) == ["cache"]


def test_samples_added_by_hand(path: Path) -> None:
    stage = wds.LMDBCached(path)
    stage.add_samples([("k1", 1), ("k0", 0), ("_", None), ("z", 2)])
    assert list(stage(iter([]))) == [0, 1, 2]


def test_any_pickler(path: Path) -> None:
    class Text:
        def dumps(self, value: Any) -> bytes:
            return json.dumps(value).encode()

        def loads(self, data: bytes) -> Any:
            return json.loads(data)

    stage = wds.LMDBCached(path, pickler=Text())
    assert list(stage(iter([1, {"a": 2}]))) == list(stage(iter([]))) == [1, {"a": 2}]


def test_it_is_data(path: Path) -> None:
    stage = wds.LMDBCached(path, 1e9, chunksize=7)
    assert pickle.loads(pickle.dumps(stage)) == stage
    assert pickle.loads(pickle.dumps(replace(stage, pickler=pickle))).pickler is pickle
    assert repr(stage).startswith("LMDBCached(fname=")
    assert isinstance(stage, wds.PipelineStage)
    assert not path.parent.exists()


@dataclass
class Box:
    value: int


def test_other_objects_than_plain_data_are_refused_when_they_are_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DecodeError, match=r"pickler=pickle takes any object.*Box.*WDS_ALLOW_PICKLE=1"):
        list(wds.LMDBCached(path)(iter([Box(1)])))
    assert left(path) == []
    stage = wds.LMDBCached(path, pickler=pickle)
    assert list(stage(iter([Box(1)]))) == list(stage(iter([]))) == [Box(1)]
    with pytest.raises(DecodeError, match="Box"):
        list(wds.LMDBCached(path)(iter([])))
    monkeypatch.setenv("WDS_ALLOW_PICKLE", "1")
    assert list(wds.LMDBCached(path)(iter([]))) == [Box(1)]


def test_a_cache_of_someone_else_runs_no_code(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    list(wds.LMDBCached(path, pickler=Raw(b"cbuiltins\nprint\n(Vrun\ntR."))(iter([1])))
    with pytest.raises(DecodeError, match="builtins.print"):
        list(wds.LMDBCached(path)(iter([])))
    assert capsys.readouterr().out == ""


@dataclass
class Raw:
    data: bytes

    def dumps(self, _: Any) -> bytes:
        return self.data


def test_the_secure_mode_unpickles_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = wds.LMDBCached(path)
    list(stage(iter([1])))
    monkeypatch.setenv("WDS_SECURE", "1")
    for call in (lambda: stage(iter([1])), stage.is_complete, lambda: stage.add_samples([("a", 1)])):
        with pytest.raises(SpecError, match="WDS_SECURE"):
            call()


def test_what_cannot_be_written_or_read_is_a_cache_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CacheError, match="file/cache.*cannot be written"):
        list(wds.LMDBCached(tmp_path / "file" / "cache")(iter([1])))
    with pytest.raises(CacheError, match="cannot be written.*FULL"):
        list(wds.LMDBCached(tmp_path / "small", map_size=1e5)(iter([bytes(10**6)])))
    assert left(tmp_path / "small") == ["file"]
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "data.mdb").write_bytes(b"not LMDB" * 10_000)
    with pytest.raises(CacheError, match="broken.*cannot be read"):
        list(wds.LMDBCached(tmp_path / "broken")(iter([1])))
    with pytest.raises(SpecError, match="chunksize"):
        wds.LMDBCached(tmp_path, chunksize=0)


def test_the_extra_to_install_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lmdb", None)
    with pytest.raises(SpecError, match=r"asyncwds\[lmdb\]"):
        list(wds.LMDBCached(path)(iter([1])))


def test_a_pickling_error_is_the_users(path: Path) -> None:
    with pytest.raises((pickle.PicklingError, AttributeError, TypeError)):
        list(wds.LMDBCached(path)(iter([lambda: 1])))
    assert left(path) == []


def test_fault_35_a_process_that_is_killed_leaves_no_cache(path: Path) -> None:
    code = (
        "import asyncwds as wds, itertools, sys\n"
        "for n in wds.LMDBCached(sys.argv[1], chunksize=2)(itertools.count()): print(n, flush=True)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        while int(process.stdout.readline()) < 9:
            pass
        os.kill(process.pid, signal.SIGKILL)
    stage = wds.LMDBCached(path)
    assert not stage.is_complete()
    assert list(stage(iter([1]))) == list(stage(iter([]))) == [1]
