"""Functions that people put in the place of `tariterators`' parts: `tarfile_to_samples` goes by them, as with webdataset."""

import io
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import webdataset

import asyncwds
from asyncwds.errors import SampleError
from asyncwds.testing import leaks, make_shard

pytestmark = [pytest.mark.needs("torch"), pytest.mark.filterwarnings("ignore::ResourceWarning")]

LIBRARIES = [webdataset, asyncwds]


def lenient(library: Any) -> Callable[..., Iterator[Any]]:
    """As those have it who train on audio: of two files with the same name the later one counts."""
    parts = library.tariterators

    def group_by_keys(
        data: Iterable[Any], keys: Any = parts.base_plus_ext, lcase: bool = True, suffixes: Any = None, handler: Any = None
    ) -> Iterator[Any]:
        current: dict[str, Any] | None = None
        for file in data:
            if "fname" not in file:
                continue
            prefix, suffix = keys(file["fname"])
            if prefix is None:
                continue
            if current is None or prefix != current["__key__"]:
                if parts.valid_sample(current):
                    yield current
                current = {"__key__": prefix, "__url__": file["__url__"]}
            if suffixes is None or suffix in suffixes:
                current[suffix.lower() if lcase else suffix] = file["data"]
        if parts.valid_sample(current):
            yield current

    return group_by_keys


@pytest.fixture
def twice_the_same(tmp_path: Path) -> str:
    first, second = (make_shard([{"__key__": "a", "txt": text}]) for text in (b"one", b"two"))
    path = tmp_path / "a.tar"
    path.write_bytes(first[:1024] + second)  # the second file follows the first
    return str(path)


def texts(pipeline: Iterable[Any]) -> list[Any]:
    return [sample["txt"] for sample in pipeline]


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("stage", [lambda library: library.tarfile_to_samples(), lambda library: library.tarfile_samples])
def test_group_by_keys(library: Any, stage: Callable[[Any], Any], twice_the_same: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = library.DataPipeline(library.SimpleShardList([twice_the_same] * 2), stage(library))
    with pytest.raises((ValueError, SampleError)):
        list(pipeline)
    monkeypatch.setattr(library.tariterators, "group_by_keys", lenient(library))
    assert texts(library.DataPipeline(library.SimpleShardList([twice_the_same]), stage(library))) == [b"two"]


@pytest.mark.parametrize("library", LIBRARIES)
def test_url_opener(library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shard = make_shard([{"__key__": "a", "txt": b"one"}])

    def from_memory(data: Iterable[Any], handler: Any = None, **kw: Any) -> Iterator[Any]:
        for sample in data:
            sample.update(stream=io.BytesIO(shard))
            yield sample

    monkeypatch.setattr(library.tariterators, "url_opener", from_memory)
    pipeline = library.DataPipeline(library.SimpleShardList(["memory://a", "memory://b"]), library.tarfile_to_samples())
    assert texts(pipeline) == [b"one", b"one"]


@pytest.mark.parametrize("library", LIBRARIES)
def test_tar_file_expander(library: Any, twice_the_same: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def only_names(data: Iterable[Any], handler: Any = None, select_files: Any = None, rename_files: Any = None) -> Iterator[Any]:
        for sample in data:
            sample["stream"].close()
            yield {"fname": "b.txt", "data": select_files and b"selected", "__url__": sample["url"]}

    monkeypatch.setattr(library.tariterators, "tar_file_expander", only_names)
    shards = library.SimpleShardList([twice_the_same])
    assert texts(library.DataPipeline(shards, library.tarfile_to_samples(select_files=bool))) == [b"selected"]


def test_it_counts_when_it_runs_and_only_then(twice_the_same: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = asyncwds.DataPipeline(asyncwds.SimpleShardList([twice_the_same]), asyncwds.tarfile_to_samples())
    with monkeypatch.context() as patched:
        patched.setattr(asyncwds.tariterators, "group_by_keys", lenient(asyncwds))
        with leaks():
            assert texts(pipeline) == [b"two"]
    with pytest.raises(SampleError):
        list(pipeline)


def test_the_handler_is_asked_as_ever(twice_the_same: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncwds.tariterators, "group_by_keys", lenient(asyncwds))
    shards = asyncwds.SimpleShardList(["missing.tar", twice_the_same])
    assert texts(asyncwds.DataPipeline(shards, asyncwds.tarfile_to_samples(asyncwds.ignore_and_continue))) == [b"two"]
    with pytest.raises(FileNotFoundError):
        list(asyncwds.DataPipeline(shards, asyncwds.tarfile_to_samples()))
