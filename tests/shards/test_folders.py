"""Folders and manifests in place of urls of shards."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
from command_line import run_asyncwds

import asyncwds as wds
from asyncwds.errors import NotFoundError, SpecError
from asyncwds.shards import is_shard_name
from asyncwds.testing import FaultServer, make_shard

SAMPLES, PER_SHARD = 10, 3
NAMES = [f"a-{number:03d}.tar" for number in range(4)]


@pytest.fixture
def made(tmp_path: Path) -> Path:
    folder = tmp_path / "made"
    folder.mkdir()
    with wds.ShardWriter(folder / "a-%03d.tar", PER_SHARD, manifest=folder / "manifest.json") as sink:
        for number in range(SAMPLES):
            sink.write({"__key__": str(number), "txt": "x"})
    (folder / "README").write_text("beside")
    return folder


def keys(urls: Any, **options: Any) -> list[str]:
    return [sample["__key__"] for sample in wds.WebDataset(urls, **options)]


ALL = [str(number) for number in range(SAMPLES)]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *[
            (name, True)
            for name in ("a.tar", "a.TAR", "a.tar.gz", "a.b.tar.zst", "a.tgz", "a.tbz2", "a.txz", "a.tlz4", "a b\n.tar")
        ],
        *[(name, False) for name in (".tar", ".a.tar", "tar", "a.tar.json", "a.tar.idx", "a.gz", "a.tar._done_")],
    ],
)
def test_names_of_shards(name: str, expected: bool) -> None:
    assert is_shard_name(name) is expected


@pytest.mark.parametrize(
    "form",
    [
        "{0}",
        "{0}/",
        "file:{0}",
        "file://{0}/",
        "{0}/*",
        "{0}/**",
        "{0}/manifest.json",
        "@{0}/manifest.json",
        "file:{0}/manifest.json",
    ],
)
def test_local_folders_and_manifests(made: Path, form: str) -> None:
    assert keys(form.format(made)) == ALL
    assert keys([form.format(made)] * 2) == ALL * 2
    assert keys(f"{form.format(made)}::{made / NAMES[0]}") == ALL + ALL[:PER_SHARD]


def test_paths_and_lists_of_urls(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert keys(made) == keys([made / "manifest.json"]) == keys(wds.SimpleShardList(made).urls) == ALL
    (made.parent / "list.txt").write_text("made\nmade/manifest.json\n@made/manifest.json\n")
    assert keys(f"@{made.parent / 'list.txt'}") == ALL * 3
    monkeypatch.chdir(made)
    assert keys("manifest.json") == keys(".") == keys("./") == ALL


@pytest.mark.parametrize("path", ["made/", "made/*", "made/manifest.json"])
def test_over_http(made: Path, path: str) -> None:
    listing = "".join(f'<a href="{name}">{name}</a>' for name in sorted(entry.name for entry in made.iterdir())).encode()
    objects = {f"made/{entry.name}": entry.read_bytes() for entry in made.iterdir()}
    with FaultServer({**objects, "made/": b"<html>" + listing}) as server:
        url = server.url("made/").removesuffix("made/") + path
        assert keys(url) == keys(f"@{url}" if path.endswith("json") else url) == ALL


@pytest.mark.needs("botocore")
@pytest.mark.parametrize("path", ["", "*", "manifest.json"])
def test_in_a_bucket(made: Path, path: str) -> None:
    listed = "".join(
        f"<Contents><Key>made/{name}</Key><Size>1</Size></Contents>" for name in sorted(entry.name for entry in made.iterdir())
    )
    page = f"<ListBucketResult><IsTruncated>false</IsTruncated>{listed}</ListBucketResult>".encode()
    objects = {f"b/made/{entry.name}": entry.read_bytes() for entry in made.iterdir()}
    with FaultServer({**objects, "b": page, "b/": page}) as server:
        storage = wds.S3(endpoint=server.url().rstrip("/"), anonymous=True, region="us-east-1")
        assert keys(f"s3://b/made/{path}", storage=storage) == ALL


def test_a_manifest_that_moved_to_a_server_finds_its_shards_there(made: Path) -> None:
    with FaultServer({f"x y/{entry.name}": entry.read_bytes() for entry in made.iterdir()}) as server:
        dataset = wds.WebDataset(server.url("x y/manifest.json") + "?version=3")
        assert len(list(dataset)) == len(dataset) == SAMPLES
        assert dataset.stats().shards == len(NAMES)


def test_the_length_of_an_iteration(made: Path) -> None:
    def dataset() -> Any:
        return wds.WebDataset(str(made / "manifest.json"), shardshuffle=4)

    for each in (
        dataset(),
        dataset().shuffle(5).decode().rename(text="txt").to_tuple("text"),
        dataset().repeat(3),
        dataset().repeat(3, nbatches=17),
        dataset().with_epoch(7),
        wds.WebDataset([made / "manifest.json", made / "manifest.json"]),
        wds.WebDataset(f"{made}/manifest.json", repeat=2),
    ):
        assert len(list(each)) == len(each) == len(pickle.loads(pickle.dumps(each)))
    assert len(dataset().with_length(5)) == len(dataset().with_length(5).batched(2)) == 5


@pytest.mark.parametrize(
    "change",
    [
        lambda dataset: dataset.batched(2),
        lambda dataset: dataset.select(bool),
        lambda dataset: dataset.map(lambda sample: None),
        lambda dataset: dataset.slice(3),
        lambda dataset: dataset.repeat(),
        lambda dataset: dataset.compose(iter),
    ],
)
def test_there_is_no_length_where_it_is_not_known(made: Path, change: Any) -> None:
    dataset = wds.WebDataset(str(made / "manifest.json"))
    assert not hasattr(change(dataset), "__len__")
    assert not hasattr(wds.WebDataset(str(made / "manifest.json"), resampled=True), "__len__")
    assert not hasattr(wds.WebDataset([made / "manifest.json", made / NAMES[0] / ".." / NAMES[0]]), "__len__")
    assert not hasattr(wds.WebDataset(str(made / "manifest.json"), select_files=bool), "__len__")


def test_the_length_is_that_of_the_rank(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = []
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        dataset = wds.WebDataset(str(made / "manifest.json"), nodesplitter=wds.split_by_node)
        assert len(list(dataset)) == len(dataset)
        lengths.append(len(dataset))
    assert lengths == [6, 4]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nonsense", "no JSON"),
        ("[1]", "no list of shards"),
        ('{"format": "other"}', "no list of shards"),
        (json.dumps({"format": "asyncwds-manifest-1", "shards": []}), "lists no shards"),
        *[
            (json.dumps({"format": "asyncwds-manifest-1", "shards": [shard]}), words)
            for shard, words in [
                (7, "must have"),
                ({"url": "a.tar", "samples": -1, "bytes": 1}, "must have"),
                ({"url": "a.tar", "samples": True, "bytes": 1}, "must have"),
                ({"url": "pipe:touch pwned", "samples": 1, "bytes": 1}, "no commands"),
                ({"url": "-", "samples": 1, "bytes": 1}, "no commands"),
            ]
        ],
    ],
)
def test_manifests_that_make_no_sense(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "m.json").write_text(text)
    with pytest.raises(SpecError, match=words) as caught:
        wds.WebDataset(str(tmp_path / "m.json"))
    assert caught.value.url == str(tmp_path / "m.json")


@pytest.mark.parametrize("url", ["/etc/passwd", "file:/etc/passwd", "../a.tar"])
def test_a_manifest_from_elsewhere_names_no_local_files(url: str) -> None:
    text = json.dumps({"format": "asyncwds-manifest-1", "shards": [{"url": url, "samples": 1, "bytes": 1}]}).encode()
    with FaultServer({"m.json": text}) as server, pytest.raises(SpecError, match="outside of its folder"):
        wds.WebDataset(server.url("m.json"))


def test_a_command_is_no_manifest(made: Path) -> None:
    command = f"pipe:cat {made / NAMES[0]} {made}/none.json 2>{os.devnull} || true; : x.json"
    assert keys([command]) == keys(command) == ALL[:PER_SHARD]


def test_a_manifest_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no such file"):
        wds.WebDataset(str(tmp_path / "m.json"))
    with FaultServer({}) as server, pytest.raises(NotFoundError):
        wds.WebDataset(server.url("m.json"))


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_folder_without_shards_says_what_would_do(tmp_path: Path, slash: str) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "a.tar").write_bytes(make_shard([{"__key__": "a", "txt": "x"}]))
    with pytest.raises(SpecError, match=r"no shards in this folder.*/\*\*/\*\.tar") as caught:
        wds.WebDataset(f"{tmp_path}{slash}")
    hint = str(caught.value).partition("below it are ")[2].partition(",")[0]
    assert keys(hint) == ["a"]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no such folder"):
        wds.WebDataset(f"{tmp_path}/none/")


def test_a_star_finds_files_of_any_name_where_none_is_called_like_a_shard(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_bytes(make_shard([{"__key__": name, "txt": "x"}]))
    assert keys(f"{tmp_path}/*") == ["one", "two"]


@pytest.mark.parametrize("command", ["ls", "bench"])
@pytest.mark.parametrize("form", ["{0}", "{0}/", "{0}/*", "{0}/manifest.json"])
def test_commands_take_them(made: Path, command: str, form: str) -> None:
    done = run_asyncwds(command, form.format(made))
    assert done.returncode == 0
    assert ("10 samples in 4 shards" if command == "ls" else "samples        10 (") in done.stdout


def test_folders_are_left_alone_in_secure_mode(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WDS_SECURE", "1")
    for url in (f"{made}", f"{made}/", f"{made}/manifest.json"):
        with pytest.raises(SpecError, match="WDS_SECURE"):
            wds.WebDataset(url)
