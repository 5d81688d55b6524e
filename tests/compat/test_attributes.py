"""Objects have the public attributes and methods of webdataset's objects. What differs stands here, with the reason."""

import gzip
import inspect
import io
import tarfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import webdataset

import asyncwds
import asyncwds.compat
from asyncwds.testing import leaks, make_shard

pytestmark = [
    pytest.mark.needs("torch", "lmdb"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore:.*was never closed"),
]

MODULES = [name for name in asyncwds.compat.MODULES if name != "multi"]  # webdataset's cannot be imported without zmq
LIBRARIES = {"webdataset": webdataset, "asyncwds": asyncwds}
SAMPLE = {"__key__": "a", "txt": "x"}

MADE: dict[str, Callable[[Callable[[str], Any], Path], Any]] = {
    "autodecode.Continue": lambda of, _: of("autodecode").Continue(".txt", b""),
    "autodecode.Decoder": lambda of, _: of("autodecode").Decoder([]),
    "autodecode.ImageHandler": lambda of, _: of("autodecode").ImageHandler("pil"),
    "cache.FileCache": lambda of, folder: of("cache").FileCache(str(folder), cache_size=1000),
    "cache.LRUCleanup": lambda of, folder: of("cache").LRUCleanup(str(folder)),
    "cache.StreamingOpen": lambda of, _: of("cache").StreamingOpen(),
    "compat.FluidInterface": lambda of, _: of("compat").FluidInterface(),
    "compat.FluidWrapper": lambda of, _: of("compat").FluidWrapper([1]),
    "compat.WebDataset": lambda of, folder: of("compat").WebDataset(str(folder / "a.tar"), shardshuffle=False),
    "compat.WebLoader": lambda of, _: of("compat").WebLoader([1]),
    "extradatasets.MockDataset": lambda of, _: of("extradatasets").MockDataset({}, 1),
    "filters.Cached": lambda of, _: of("filters").Cached(),
    "filters.FilterFunction": lambda of, _: of("filters").FilterFunction(len),
    "filters.RestCurried": lambda of, _: of("filters").RestCurried(len),
    "filters.detshuffle": lambda of, _: of("filters").detshuffle(),
    "filters.LMDBCached": lambda of, folder: of("filters").LMDBCached(str(folder / "lmdb"), map_size=1e7),
    "gopen.Pipe": lambda of, _: of("gopen").Pipe(["true"], mode="rb"),
    "mix.RandomMix": lambda of, _: of("mix").RandomMix([[1]]),
    "mix.RoundRobin": lambda of, _: of("mix").RoundRobin([[1]]),
    "pipeline.DataPipeline": lambda of, _: of("pipeline").DataPipeline([[1]]).with_length(1, silent=True),
    "shardlists.DirectoryShardList": lambda of, folder: of("shardlists").DirectoryShardList(f"{folder}/"),
    "shardlists.ResampledShards": lambda of, folder: of("shardlists").ResampledShards([str(folder / "a.tar")]),
    "shardlists.SimpleShardList": lambda of, folder: of("shardlists").SimpleShardList([str(folder / "a.tar")]),
    "utils.PipelineStage": lambda of, _: of("utils").PipelineStage(),
    "writer.ShardWriter": lambda of, folder: of("writer").ShardWriter(str(folder / "w-%d.tar"), verbose=0),
    "writer.TarWriter": lambda of, folder: of("writer").TarWriter(str(folder / "w.tar")),
}
OTHERWISE = {
    "autodecode.DecodingError": "raised by us only, with `url`, `key`, `k` and `sample`",
    "extradatasets.repeatedly": "the class cannot be iterated; the function of the same name stands in for it",
    "extradatasets.with_epoch": "cannot be made with the torch of today",
    "extradatasets.with_length": "as above",
    "shardlists.MultiShardSample": "obsolete; its `epoch` is -1 for ever, and its `rng` is drawn from the seed here",
    "shardlists.MSSource": "plain data of our own",
    "utils.ObsoleteException": "an exception without attributes",
}
WITHOUT = {"filters.LMDBCached": {"db"}}  # the database is open while a chunk is read or written only


def classes() -> list[str]:
    modules = {name: import_module(f"webdataset.{name}") for name in MODULES}
    return sorted(
        f"{module}.{name}"
        for module, found in modules.items()
        for name, value in vars(found).items()
        if inspect.isclass(value) and (value.__module__, value.__name__) == (f"webdataset.{module}", name)
    )


def made(package: str, name: str, folder: Path) -> Any:
    (folder / "a.tar").write_bytes(make_shard([SAMPLE]))
    return MADE[name](lambda module: import_module(f"{package}.{module}"), folder)


def closed(*objects: Any) -> None:
    for opened in objects:
        if hasattr(opened, "proc"):
            opened.proc.wait()
        if hasattr(opened, "tarstream") or hasattr(opened, "proc"):
            opened.close()
        if hasattr(opened, "db"):
            opened.db.close()


@pytest.mark.parametrize("name", classes())
def test_no_class_is_forgotten(name):
    assert (name in MADE) != (name in OTHERWISE)


@pytest.mark.parametrize("name", MADE)
def test_an_object_has_what_theirs_has(name, tmp_path):
    theirs, ours = made("webdataset", name, tmp_path), made("asyncwds.compat", name, tmp_path)
    torchs = set(dir(import_module("torch.utils.data").IterableDataset))
    public = {attribute for attribute in dir(theirs) if not attribute.startswith("_")} - torchs
    missing = {attribute for attribute in public if not hasattr(ours, attribute)}
    closed(theirs, ours)
    assert missing == WITHOUT.get(name, set())


@pytest.mark.parametrize("library", LIBRARIES.values(), ids=list(LIBRARIES))
def test_a_tar_writers_attributes(library, tmp_path):
    file = io.BytesIO()
    options = {"user": "me", "group": "us", "mode": 0o600, "mtime": 5, "compress": "gz", "keep_meta": True}
    with library.TarWriter(file, **options) as sink:
        sink.write(SAMPLE)
        assert {name: getattr(sink, name) for name in options} == options
        assert (sink.stream, sink.own_fileobj) == (file, None)
        assert sink.encoder({"__key__": "a", "cls": 5})["cls"] == b"5"
    assert gzip.decompress(file.getvalue())[:5] == b"a.txt"
    with library.TarWriter(str(tmp_path / "a.tar")) as sink:
        sink.write(SAMPLE)
        stream = sink.stream
        assert (stream.name, stream.closed) == (str(tmp_path / "a.tar"), False)
        assert sink.own_fileobj is stream
    assert sink.own_fileobj is None
    assert (stream.closed, sink.tarstream.closed) == (True, True)


@pytest.mark.parametrize("library", LIBRARIES.values(), ids=list(LIBRARIES))
@pytest.mark.parametrize("shards", [False, True])
def test_tarstream(library, shards, tmp_path):
    """As people use it: to index members, to add files of their own, to forget what is remembered."""
    path = tmp_path / "a-0.tar"
    kind, name, options = (library.ShardWriter, "a-%d.tar", {"verbose": 0}) if shards else (library.TarWriter, "a-0.tar", {})
    with leaks(), kind(str(tmp_path / name), mtime=0, **options) as sink:
        sink.write({"__key__": "a", "bin": b"1" * 600, "txt": "x"})
        stream = sink.tarstream.tarstream if shards else sink.tarstream
        assert [(info.name, info.size) for info in stream.members] == [("a.bin", 600), ("a.txt", 1)]
        assert (stream.members[-1].name, len(stream.members), stream.getnames()) == ("a.txt", 2, ["a.bin", "a.txt"])
        assert [info.size for info in stream.members[::-1]] == [1, 600]
        position = stream.offset
        assert position == stream.fileobj.tell() == 512 + 1024 + 512 + 512
        for name, data in (("b.jpg", b"jpg"), ("b.txt", b"text"), ("b.empty", b"")):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            stream.addfile(info, io.BytesIO(data))
        assert stream.offset == position + 5 * 512
        assert stream.getmembers()[-2].name == "b.txt"
        stream.members = []
        sink.write({"__key__": "c", "txt": "y"})
        assert stream.getnames() == ["c.txt"]
    with tarfile.open(path) as archive:
        assert archive.getnames() == ["a.bin", "a.txt", "b.jpg", "b.txt", "b.empty", "c.txt"]
        assert archive.extractfile("b.txt").read() == b"text"  # type: ignore[union-attr]


def test_a_member_that_is_too_short_leaves_the_archive_whole(tmp_path):
    with asyncwds.TarWriter(tmp_path / "a.tar") as sink:
        info = tarfile.TarInfo("a.bin")
        info.size = 10
        with pytest.raises(ValueError, match="10 bytes"):
            sink.tarstream.addfile(info, io.BytesIO(b"123"))
        sink.write(SAMPLE)
    with tarfile.open(tmp_path / "a.tar") as archive:
        assert archive.getnames() == ["a.txt"]


@pytest.mark.parametrize("library", LIBRARIES.values(), ids=list(LIBRARIES))
def test_a_write_of_ones_own(library, tmp_path):
    class Sizes(library.ShardWriter):  # type: ignore[misc, name-defined]
        """Writes to `tarstream` itself, as people do who count otherwise."""

        def write(self, obj: dict[str, Any]) -> None:
            if self.tarstream is None or self.count >= self.maxcount:
                self.next_stream()
            self.size += self.tarstream.write(obj)
            self.count += 1
            self.total += 1

    with Sizes(str(tmp_path / "a-%d.tar"), maxcount=2, verbose=0) as sink:
        for number in range(5):
            sink.write({"__key__": str(number), "txt": "x"})
        assert (sink.total, sink.count, sink.size, sink.shard) == (5, 1, 1, 3)
    counts = [len(tarfile.open(path).getnames()) for path in sorted(tmp_path.glob("a-*.tar"))]  # noqa: SIM115
    assert counts == [2, 2, 1]


@pytest.mark.parametrize("library", LIBRARIES.values(), ids=list(LIBRARIES))
def test_handlers_of_ones_own(library, tmp_path, monkeypatch):
    handlers = library.writer.default_handlers
    monkeypatch.setitem(handlers, "webp", bytes)
    monkeypatch.setitem(handlers, "jpgs", None)
    library.writer.add_handlers(handlers, "jpgs", b"".join)
    with library.ShardWriter(str(tmp_path / "a-%d.tar"), verbose=0) as sink:
        sink.write({"__key__": "a", "webp": np.frombuffer(b"image", np.uint8), "jpgs": [b"1", b"2"]})
    with tarfile.open(tmp_path / "a-0.tar") as archive:
        assert [archive.extractfile(info).read() for info in archive] == [b"12", b"image"]  # type: ignore[union-attr]


@pytest.mark.parametrize("library", LIBRARIES.values(), ids=list(LIBRARIES))
def test_what_is_cached(library):
    stage = library.Cached()
    assert stage.cached is None
    assert list(stage.run(iter([SAMPLE]))) == stage.cached == [SAMPLE]


@pytest.mark.parametrize("package", ["webdataset", "asyncwds.compat"])
def test_the_cleaner_of_a_cache(package, tmp_path):
    cache = import_module(f"{package}.cache")
    assert cache.FileCache(str(tmp_path), cache_size=-1).cleaner is None
    cleaner = cache.FileCache(str(tmp_path), cache_size=10, cache_cleanup_interval=3).cleaner
    assert (cleaner.cache_dir, cleaner.cache_size, cleaner.interval) == (str(tmp_path), 10, 3)
