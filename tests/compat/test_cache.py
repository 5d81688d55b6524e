from pathlib import Path

import pytest

import asyncwds as wds
from asyncwds import (
    DataPipeline,
    LRUCleanup,
    SimpleShardList,
    errors,
    group_by_keys,
    ignore_and_continue,
    ignore_and_stop,
    tar_file_expander,
)
from asyncwds.testing import make_shard

SHARD = make_shard([{"__key__": "a", "txt": b"1"}])


def piped(path) -> str:
    return f"pipe:cat {path}"


def read(items) -> list[bytes]:
    contents = []
    for item in items:
        with item["stream"] as stream:
            contents.append(stream.read())
    return contents


def test_a_download_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(errors.FetchError):
        wds.cache.download("pipe:echo part; false", tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_a_download_is_told_of(tmp_path, capsys):
    wds.cache.download("pipe:echo all", tmp_path / "x", verbose=True)
    assert (tmp_path / "x").read_bytes() == b"all\n"
    assert "downloading" in capsys.readouterr().err


def test_a_copy_is_made_once(tmp_path):
    (tmp_path / "a.tar").write_bytes(SHARD)
    cache = wds.cache.FileCache(tmp_path / "cache")
    path = cache.get_file(piped(tmp_path / "a.tar"))
    (tmp_path / "a.tar").unlink()
    assert cache.get_file(piped(tmp_path / "a.tar")) == path
    assert read(cache([{"url": piped(tmp_path / "a.tar")}])) == [SHARD]


def test_urls_that_end_alike_have_copies_of_their_own(tmp_path):
    for folder, content in (("p", SHARD), ("q", SHARD * 2)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.tar").write_bytes(content)
    cache = wds.cache.FileCache(tmp_path / "cache")
    assert read(cache([piped(tmp_path / "p/a.tar"), piped(tmp_path / "q/a.tar")])) == [SHARD, SHARD * 2]


def test_local_files_are_opened_where_they_are(tmp_path):
    (tmp_path / "a.tar").write_bytes(SHARD)
    cache = wds.cache.FileCache(tmp_path / "cache")
    assert cache.get_file(str(tmp_path / "a.tar")) == str(tmp_path / "a.tar")
    assert not (tmp_path / "cache").exists()


def test_what_is_no_archive_is_not_kept(tmp_path):
    cache = wds.cache.FileCache(tmp_path / "cache")
    with pytest.raises(errors.TarHeaderError, match="<html>"):
        cache.get_file("pipe:echo '<html>'")
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [".asyncwds"]
    assert wds.cache.FileCache(tmp_path / "cache", validator=None).get_file("pipe:echo x")


def test_a_name_must_stay_in_the_folder(tmp_path):
    with pytest.raises(errors.SpecError, match="cache's folder"):
        wds.cache.FileCache(tmp_path / "cache", url_to_name=lambda _: "../x").get_file("pipe:echo x")


@pytest.mark.parametrize(("handler", "number"), [(ignore_and_continue, 2), (ignore_and_stop, 1)])
@pytest.mark.parametrize("stage", [wds.cache.FileCache, wds.cache.StreamingOpen])
def test_the_handler_decides_about_failures(tmp_path, monkeypatch, stage, handler, number):
    monkeypatch.chdir(tmp_path)
    for name in "ac":
        (tmp_path / f"{name}.tar").write_bytes(SHARD)
    urls = ["a.tar", "missing.tar", "c.tar"]
    assert read(stage(handler=handler)(urls)) == [SHARD] * number


def test_a_bounded_cache_makes_room_before_it_fetches(tmp_path):
    (tmp_path / "a.tar").write_bytes(SHARD)
    cache = wds.cache.FileCache(tmp_path / "cache", cache_size=2.5 * len(SHARD))
    paths = [cache.get_file(f"pipe:cat {tmp_path / 'a.tar'} # {number}") for number in range(4)]
    assert [path for path in paths if Path(path).exists()] == paths[2:]


def test_a_cache_that_is_too_small_gives_streams(tmp_path):
    (tmp_path / "a.tar").write_bytes(SHARD)
    with pytest.warns(UserWarning, match="no room"):
        [item] = wds.cache.FileCache(tmp_path / "cache", cache_size=100)([piped(tmp_path / "a.tar")])
    assert "local_path" not in item
    assert read([item]) == [SHARD]


def test_a_copy_of_webdatasets_is_used(server, tmp_path):
    (tmp_path / "a.tar").write_bytes(SHARD)
    url = server.put("a.tar", SHARD)
    assert wds.cache.FileCache(tmp_path, url_to_name=wds.cache.url_to_cache_name).get_file(url) == str(tmp_path / "a.tar")
    assert server.counters.bytes_sent <= 1


def test_pipelines_read_through_it(server, tmp_path):
    urls = [server.put(f"{number}.tar", SHARD) for number in range(3)]

    def samples():
        stages = (SimpleShardList(urls), wds.cache.FileCache(tmp_path / "cache"), tar_file_expander, group_by_keys)
        return [(sample["__key__"], sample["__local_path__"]) for sample in DataPipeline(*stages)]

    found = samples()
    assert {path for _, path in found} == set(map(str, (tmp_path / "cache").glob("*.tar")))
    assert [key for key, _ in found] == ["a"] * 3
    requests = server.counters.requests
    assert samples() == found
    assert server.counters.requests == requests


def test_cleaning_up_waits_its_interval(tmp_path, capsys):
    cleanup = LRUCleanup(cache_size=0, verbose=True)
    cleanup.cleanup()
    cleanup.set_cache_dir(tmp_path)
    (tmp_path / "x").write_bytes(b"1")
    cleanup.cleanup()
    assert "deleting" in capsys.readouterr().err
    (tmp_path / "y").write_bytes(b"1")
    cleanup.cleanup()
    assert [path.name for path in tmp_path.iterdir()] == ["y"]


@pytest.mark.parametrize("stage", [wds.cache.FileCache, wds.cache.StreamingOpen])
def test_secure_mode_opens_no_local_file(stage, tmp_path, monkeypatch):
    (tmp_path / "a.tar").write_bytes(b"data")
    (opened,) = stage()([f"{tmp_path}/a.tar"])
    assert (opened["stream"].read(), opened["local_path"]) == (b"data", f"{tmp_path}/a.tar")
    opened["stream"].close()
    monkeypatch.setenv("WDS_SECURE", "1")
    with pytest.raises(errors.SpecError, match="WDS_SECURE"):
        list(stage()([f"{tmp_path}/a.tar"]))
