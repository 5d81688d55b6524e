import pytest

from asyncwds import errors
from asyncwds.compat.cache import FileCache, LRUCleanup, StreamingOpen, download
from asyncwds.pipeline.handlers import ignore_and_continue, ignore_and_stop
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
        download("pipe:echo part; false", tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_a_download_is_told_of(tmp_path, capsys):
    download("pipe:echo all", tmp_path / "x", verbose=True)
    assert (tmp_path / "x").read_bytes() == b"all\n"
    assert "downloading" in capsys.readouterr().err


def test_a_copy_is_made_once(tmp_path):
    (tmp_path / "a.tar").write_bytes(SHARD)
    cache = FileCache(tmp_path / "cache")
    path = cache.get_file(piped(tmp_path / "a.tar"))
    (tmp_path / "a.tar").unlink()
    assert cache.get_file(piped(tmp_path / "a.tar")) == path
    assert read(cache([{"url": piped(tmp_path / "a.tar")}])) == [SHARD]


def test_urls_that_end_alike_have_copies_of_their_own(tmp_path):
    for folder, content in (("p", SHARD), ("q", SHARD * 2)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.tar").write_bytes(content)
    cache = FileCache(tmp_path / "cache")
    assert read(cache([piped(tmp_path / "p/a.tar"), piped(tmp_path / "q/a.tar")])) == [SHARD, SHARD * 2]


def test_local_files_are_opened_where_they_are(tmp_path):
    (tmp_path / "a.tar").write_bytes(SHARD)
    cache = FileCache(tmp_path / "cache")
    assert cache.get_file(str(tmp_path / "a.tar")) == str(tmp_path / "a.tar")
    assert not (tmp_path / "cache").exists()


def test_what_is_no_archive_is_not_kept(tmp_path):
    cache = FileCache(tmp_path / "cache")
    with pytest.raises(errors.CacheError, match="<html>"):
        cache.get_file("pipe:echo '<html>'")
    assert list((tmp_path / "cache").iterdir()) == []
    assert FileCache(tmp_path / "cache", validator=None).get_file("pipe:echo x")


def test_a_name_must_stay_in_the_folder(tmp_path):
    with pytest.raises(errors.SpecError, match="cache's folder"):
        FileCache(tmp_path / "cache", url_to_name=lambda _: "../x").get_file("pipe:echo x")


@pytest.mark.parametrize(("handler", "number"), [(ignore_and_continue, 2), (ignore_and_stop, 1)])
@pytest.mark.parametrize("stage", [FileCache, StreamingOpen])
def test_the_handler_decides_about_failures(tmp_path, monkeypatch, stage, handler, number):
    monkeypatch.chdir(tmp_path)
    for name in "ac":
        (tmp_path / f"{name}.tar").write_bytes(SHARD)
    urls = ["a.tar", "nothing://b.tar", "c.tar"]
    assert read(stage(handler=handler)(urls)) == [SHARD] * number


def test_a_bounded_cache_deletes_before_it_fetches(tmp_path):
    (tmp_path / "a.tar").write_bytes(SHARD)
    (tmp_path / "cache").mkdir()
    for number in range(3):
        (tmp_path / "cache" / f"old-{number}").write_bytes(bytes(1000))
    FileCache(tmp_path / "cache", cache_size=1500, cache_cleanup_interval=None).get_file(piped(tmp_path / "a.tar"))
    assert sum(path.name.startswith("old") for path in (tmp_path / "cache").iterdir()) == 1


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
