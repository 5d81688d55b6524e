"""Subclasses of ShardWriter that begin their shards themselves, as people have written them for webdataset."""

import contextlib
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import webdataset

import asyncwds as wds
from asyncwds.errors import SampleError, SpecError
from asyncwds.testing import leaks


def named(library: Any) -> Any:
    """One that has no pattern, and takes names of its own."""

    class Named(library.ShardWriter):  # type: ignore[misc, name-defined]
        def __init__(self, folder: Path, **options: Any) -> None:
            self.folder = folder
            super().__init__("", **options)

        def next_stream(self) -> None:
            self.finish()
            self.fname = os.path.join(self.folder, f"{self.shard:012d}.tar")  # noqa: PTH118 - as people do
            self.shard += 1
            self.tarstream = library.TarWriter(self.fname, **self.kw)
            self.count = 0
            self.size = 0

    return Named


def stepping(library: Any) -> Any:
    """One process of several, whose numbers are so far apart."""

    class Stepping(library.ShardWriter):  # type: ignore[misc, name-defined]
        def __init__(self, folder: Path, **options: Any) -> None:
            super().__init__(str(folder / "a-%03d.tar"), start_shard=2, **options)

        def next_stream(self) -> None:
            self.finish()
            self.fname = self.pattern % self.shard
            self.shard += 8
            self.tarstream = library.TarWriter(self.fname, **self.kw)
            self.count = self.size = 0

    return Stepping


def sending(library: Any) -> Any:
    """Writes all to one temporary file, and moves it away when it is complete."""

    class Sending(library.ShardWriter):  # type: ignore[misc, name-defined]
        def __init__(self, folder: Path, **options: Any) -> None:
            self.folder = folder
            super().__init__("", **options)

        def next_stream(self) -> None:
            self.finish()
            if self.fname is None:
                self.fname = str(self.folder / "temporary.tar")
            self.shard += 1
            self.tarstream = library.TarWriter(self.fname, **self.kw)
            self.count = self.size = 0

        def finish(self) -> None:
            super().finish()
            if self.fname is not None and os.path.exists(self.fname):  # noqa: PTH110 - as people do
                Path(self.fname).rename(self.folder / f"sent-{self.shard:03d}.tar")

    return Sending


def telling(library: Any) -> Any:
    """Has the shards begun as ever, and writes down which."""

    class Telling(library.ShardWriter):  # type: ignore[misc, name-defined]
        def __init__(self, folder: Path, **options: Any) -> None:
            self.log: list[tuple[int, int, int]] = []
            super().__init__(str(folder / "a-%03d.tar"), **options)

        def next_stream(self) -> None:
            super().next_stream()
            assert self.fname is not None
            self.log.append((int(self.fname[-7:-4]), self.shard, self.count))

    return Telling


def pickling(library: Any) -> Any:
    """Writes no tar archives at all."""

    class Stream:
        def __init__(self, path: str) -> None:
            self.path, self.samples = path, []

        def write(self, obj: Any) -> int:
            self.samples.append(obj)
            return 100

        def close(self) -> None:
            Path(self.path).write_bytes(pickle.dumps(self.samples))

    class Pickling(library.ShardWriter):  # type: ignore[misc, name-defined]
        def __init__(self, folder: Path, **options: Any) -> None:
            super().__init__(str(folder / "a-%03d.tar"), **options)

        def next_stream(self) -> None:
            self.finish()
            self.fname = self.pattern % self.shard
            self.shard += 1
            self.tarstream = Stream(self.fname)
            self.count = self.size = 0

    return Pickling


BOUNDS: list[dict[str, Any]] = [{"maxcount": 4}, {"maxsize": 250}, {}]
CASES = [(kind, bound) for kind in (named, stepping, sending, pickling) for bound in BOUNDS]
# With the shards of the library itself: `maxsize` is then that of shards, where webdataset means fields.
CASES += [(telling, bound) for bound in BOUNDS if "maxsize" not in bound]


@pytest.mark.parametrize(("kind", "options"), CASES)
def test_they_write_what_they_write_with_webdataset(tmp_path: Path, samples: Any, kind: Any, options: dict[str, Any]) -> None:
    found = []
    for library in (webdataset, wds):
        folder = tmp_path / library.__name__
        folder.mkdir()
        done: list[str] = []
        made = {**options, "post": done.append, "verbose": 0}
        if kind is not pickling:
            made["mtime"] = 0
        with leaks(), kind(library)(folder, **made) as sink:
            told = [(sink.write(sample), sink.fname, sink.shard, sink.count, sink.size, sink.total)[1:] for sample in samples(10)]
        contents = {path.name: _content(path) for path in folder.iterdir()}
        found.append(([(Path(name).name, *rest) for name, *rest in told], [Path(name).name for name in done], contents))
    assert found[0] == found[1]
    assert len(found[0][2]) == {"maxcount": 3, "maxsize": 4}.get(next(iter(options), ""), 1)


def _content(path: Path) -> Any:
    data = path.read_bytes()
    if data.startswith(b"\x80"):
        return pickle.loads(data)
    return [
        {field: value for field, value in sample.items() if field not in ("__url__", "__local_path__")}
        for sample in wds.WebDataset(str(path), shardshuffle=False)
    ]


@pytest.mark.parametrize("kind", [named, stepping, telling])
def test_what_is_not_complete_is_dropped(tmp_path: Path, samples: Any, kind: Any) -> None:
    with leaks(), contextlib.suppress(ZeroDivisionError), kind(wds)(tmp_path, maxcount=4) as sink:
        for number, sample in enumerate(samples(10)):
            sink.write(sample)
            if number == 5:
                raise ZeroDivisionError
    [complete] = tmp_path.iterdir()
    assert len(_content(complete)) == 4
    with pytest.raises(SpecError, match="closed"):
        sink.write(samples(1)[0])


def test_a_sample_that_cannot_be_written_leaves_the_others(tmp_path: Path, samples: Any) -> None:
    with named(wds)(tmp_path) as sink:
        sink.write(samples(1)[0])
        with pytest.raises(SampleError):
            sink.write({"bin": b"no key"})
        sink.write(samples(2)[1])
        assert (sink.count, sink.total) == (2, 2)
    assert [sample["__key__"] for sample in _content(tmp_path / "000000000000.tar")] == ["000", "001"]


def test_no_sample_no_shard(tmp_path: Path, samples: Any) -> None:
    named(wds)(tmp_path).close()
    assert not list(tmp_path.iterdir())
    with telling(wds)(tmp_path, maxsize=250) as sink:
        sink.next_stream()
        sink.write(samples(1)[0])  # too large, so that it has a shard of its own
        sink.next_stream()
    [path] = tmp_path.iterdir()
    assert len(_content(path)) == 1


def test_a_stream_that_cannot_be_completed_ends_the_writer(tmp_path: Path, samples: Any) -> None:
    sink = pickling(wds)(tmp_path / "missing")
    sink.write(samples(1)[0])
    with pytest.raises(FileNotFoundError):
        sink.finish()
    with pytest.raises(SpecError, match="closed"):
        sink.write(samples(1)[0])


def test_there_is_no_manifest_of_them(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="manifest"):
        named(wds)(tmp_path, manifest=tmp_path / "manifest.json")
