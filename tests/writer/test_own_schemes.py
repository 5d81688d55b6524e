"""Writers open urls by what `gopen_schemes` has for their scheme, where that is not the library's own."""

import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

import asyncwds as wds
from asyncwds.errors import FetchError, NotFoundError, SpecError
from asyncwds.testing import leaks

SAMPLE = {"__key__": "a", "txt": "x"}


class Folder:
    """An opener as people have them: urls are files of a folder, and each call is noted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calls: list[tuple[str, str, int]] = []

    def __call__(self, url: str, mode: str = "rb", bufsize: int = 8192) -> Any:
        self.calls.append((url, mode, bufsize))
        return (self.folder / url.rpartition("/")[2]).open(mode)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def by_tar_writer(url: str) -> None:
    with wds.TarWriter(url) as sink:
        sink.write(SAMPLE)


def by_shard_writer(url: str) -> None:
    with wds.ShardWriter(url.replace("0", "%d")) as sink:
        sink.write(SAMPLE)


async def by_async_writer(url: str) -> None:
    async with wds.AsyncShardWriter(url.replace("0", "%d")) as sink:
        await sink.write(SAMPLE)


async def written(by: Any, url: str) -> None:
    if (outcome := by(url)) is not None:
        await outcome


WRITERS = [by_tar_writer, by_shard_writer, by_async_writer]


@pytest.mark.parametrize("by", WRITERS)
@pytest.mark.parametrize("scheme", ["mine", "s3", "gs", "http", "pipe", "scp", "hf", "__default__"])
async def test_a_function_of_ones_own(by, scheme, folder, read, monkeypatch):
    monkeypatch.setitem(wds.gopen_schemes, scheme, folder)
    url = f"{'other' if scheme == '__default__' else scheme}://bucket/a-0.tar"
    with leaks():
        await written(by, url)
    assert folder.calls == [(url, "wb", 8192)]
    assert read(folder.folder / "a-0.tar") == [SAMPLE]


async def test_a_manifest_too(folder, manifest, monkeypatch):
    monkeypatch.setitem(wds.gopen_schemes, "mine", folder)
    with wds.ShardWriter("mine://x/a-%d.tar", manifest="mine://x/sync.json") as sink:
        sink.write(SAMPLE)
    async with wds.AsyncShardWriter("mine://x/b-%d.tar", manifest="mine://x/async.json") as sink:
        await sink.write(SAMPLE)
    assert [len(manifest(folder.folder / name)["shards"]) for name in ("sync.json", "async.json")] == [1, 1]


@pytest.mark.parametrize("by", WRITERS)
async def test_as_aistore_where_that_stands_before_others(by, folder, read, monkeypatch):
    monkeypatch.setenv("USE_AIS_FOR", "s3:gs")
    monkeypatch.setitem(wds.gopen_schemes, "ais", folder)
    await written(by, "gs://bucket/a-0.tar")
    assert read(folder.folder / "a-0.tar") == [SAMPLE]


@pytest.mark.parametrize("by", WRITERS)
async def test_a_url_is_rewritten_before(by, folder, read, monkeypatch, tmp_path):
    monkeypatch.setitem(wds.gopen_schemes, "mine", folder)
    monkeypatch.setenv("GOPEN_REWRITE", f"s3://bucket/=mine://;gs://bucket={tmp_path}")
    await written(by, "s3://bucket/a-0.tar")
    await written(by, "gs://bucket/b-0.tar")
    assert folder.calls == [("mine://a-0.tar", "wb", 8192)]
    assert read(tmp_path / "a-0.tar", tmp_path / "b-0.tar") == [SAMPLE, SAMPLE]


@pytest.mark.parametrize("scheme", ["s3", "http", "pipe"])
def test_a_default_leaves_the_librarys_own_in_place(scheme, folder):
    before = dict(wds.gopen_schemes)
    wds.gopen_schemes.setdefault(scheme, folder)
    assert wds.gopen_schemes == before


@pytest.mark.parametrize("by", WRITERS)
@pytest.mark.parametrize(
    ("raised", "kind"), [(FileNotFoundError(2, "no such bucket"), NotFoundError), (RuntimeError("no such bucket"), FetchError)]
)
async def test_its_errors_are_named(by, raised, kind, monkeypatch):
    def failing(url: str, mode: str, bufsize: int) -> Any:
        raise raised

    monkeypatch.setitem(wds.gopen_schemes, "mine", failing)
    with leaks(), pytest.raises(kind, match="no such bucket.*mine://bucket/a-0.tar") as caught:
        await written(by, "mine://bucket/a-0.tar")
    assert caught.value.__cause__ is raised


async def test_an_error_of_the_block_kills_a_command(monkeypatch, tmp_path):
    program = "import sys, pathlib; pathlib.Path(sys.argv[1]).write_bytes(sys.stdin.buffer.read())"
    command = f"{shlex.quote(sys.executable)} -c {shlex.quote(program)} {shlex.quote(str(tmp_path / 'got'))}"

    def sent(url: str, mode: str, bufsize: int) -> wds.Pipe:
        return wds.Pipe(command, mode=mode, shell=True)

    monkeypatch.setitem(wds.gopen_schemes, "mine", sent)
    with leaks():
        with pytest.raises(ZeroDivisionError), wds.TarWriter("mine://a.tar") as sink:
            sink.write(SAMPLE)
            1 / 0  # noqa: B018 - raises
        with pytest.raises(ZeroDivisionError):
            async with wds.AsyncShardWriter("mine://a-%d.tar") as sink:
                await sink.write(SAMPLE)
                1 / 0  # noqa: B018 - raises
    assert not (tmp_path / "got").exists()
    by_tar_writer("mine://a.tar")
    assert (tmp_path / "got").stat().st_size == 10240


@pytest.mark.parametrize("by", WRITERS)
async def test_not_where_secure_mode_refuses(by, folder, monkeypatch):
    monkeypatch.setitem(wds.gopen_schemes, "pipe", folder)
    monkeypatch.setenv("WDS_SECURE", "1")
    with pytest.raises(SpecError, match="WDS_SECURE"):
        await written(by, "pipe:cat >a-0.tar")
    assert folder.calls == []
