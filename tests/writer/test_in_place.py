"""Shards that are there while they are written: for code that reads or renames them before the writer is closed."""

import os
import tarfile
from pathlib import Path

import pytest

import asyncwds as wds
import asyncwds.compat
from asyncwds.errors import SpecError
from asyncwds.testing import leaks


def sample(number: int) -> dict[str, str]:
    return {"__key__": str(number), "txt": "x" * number}


def test_it_is_whole_after_each_sample(tmp_path, read):
    path = tmp_path / "a.tar"
    path.write_bytes(bytes(1 << 20))
    with leaks(), wds.TarWriter(path, in_place=True) as sink:
        assert path.stat().st_size == 0
        for number in range(5):
            sink.write(sample(number))
            assert read(path) == [sample(i) for i in range(number + 1)]
    assert path.stat().st_size == 10240
    assert len(read(path)) == 5


def test_it_is_the_same_in_the_end(tmp_path):
    for compress in (None, "gz"):
        for in_place in (True, False):
            with wds.TarWriter(tmp_path / f"{in_place}.tar", mtime=0, in_place=in_place, compress=compress) as sink:
                for number in range(30):
                    sink.write(sample(100 * number))
        assert (tmp_path / "True.tar").read_bytes() == (tmp_path / "False.tar").read_bytes()


def test_it_may_be_renamed_meanwhile(tmp_path, read):
    with wds.ShardWriter(str(tmp_path / "a-%d.tar"), in_place=True) as sink:
        sink.write(sample(1))
        (tmp_path / "a-0.tar").rename(tmp_path / "b.tar")
        sink.write(sample(2))
    assert read(tmp_path / "b.tar") == [sample(1), sample(2)]
    assert [path.name for path in tmp_path.iterdir()] == ["b.tar"]


@pytest.mark.parametrize("compress", [None, "gz"])
@pytest.mark.parametrize("shards", [True, False])
def test_after_an_error_it_is_ended_and_kept(tmp_path, read, compress, shards):
    posted: list[str] = []
    path = str(tmp_path / "a-0.tar")
    kind, name, options = (wds.ShardWriter, "a-%d.tar", {"post": posted.append}) if shards else (wds.TarWriter, "a-0.tar", {})
    writer = kind(str(tmp_path / name), in_place=True, compress=compress, **options)
    with leaks(), pytest.raises(ZeroDivisionError), writer as sink:
        sink.write(sample(1))
        1 / 0  # noqa: B018 - raises
    assert read(path) == [sample(1)]
    assert posted == ([path] if shards else [])


def test_dropped_it_keeps_what_was_written_without_a_warning(tmp_path, read):
    with leaks():
        sink = wds.TarWriter(tmp_path / "a.tar", in_place=True)
        sink.write(sample(1))
        del sink
    assert read(tmp_path / "a.tar") == [sample(1)]


def test_what_is_no_regular_file_is_written_to(tmp_path):
    with wds.TarWriter("/dev/null", in_place=True) as sink:
        sink.write(sample(1))
    with pytest.raises(OSError, match="directory"):
        wds.TarWriter(tmp_path, in_place=True)


def test_an_asynchronous_writer_has_it_not(tmp_path):
    with pytest.raises(SpecError, match="whole or not at all"):
        wds.AsyncShardWriter(str(tmp_path / "a-%d.tar"), in_place=True)


@pytest.mark.parametrize(("before", "there"), [(None, True), ("0", False), ("1", True)])
def test_installing_makes_it_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str | None, there: bool) -> None:
    monkeypatch.delenv("WDS_IN_PLACE", raising=False)
    if before is not None:
        monkeypatch.setenv("WDS_IN_PLACE", before)
    asyncwds.compat.install()
    try:
        with wds.ShardWriter(str(tmp_path / "a-%d.tar")) as sink:
            sink.write(sample(1))
            assert (tmp_path / "a-0.tar").exists() == there
        with wds.TarWriter(tmp_path / "b.tar", in_place=False):
            assert not (tmp_path / "b.tar").exists()
    finally:
        asyncwds.compat.uninstall()
    assert os.environ.get("WDS_IN_PLACE") == before
    with tarfile.open(tmp_path / "a-0.tar") as archive:
        assert archive.getnames() == ["1.txt"]
