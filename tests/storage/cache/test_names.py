from __future__ import annotations

import pytest

from asyncwds import pipe_cleaner
from asyncwds.errors import SpecError
from asyncwds.storage import url_to_cache_name
from asyncwds.storage.cache.names import islocal, name_in_cache, shard_name, url_hash

URLS = [
    "http://host/a/b/train-000.tar",
    "s3://bucket/key/x.tar?versionId=1;y",
    "gs://bucket/a;b.tar",
    "ais://bucket/a.tar",
    "pipe:curl -s http://host/a.tar -o -",
    "hf://datasets/user/name/x.tar",
    "a.tar",
    "/x/y/z.tar",
    "file:/x/y.tar",
    "http://host/",
    "http://host",
    "-",
]


@pytest.mark.needs("webdataset")
@pytest.mark.parametrize("ndir", [0, 1, 5])
@pytest.mark.parametrize("url", URLS)
def test_names_are_webdatasets(url, ndir):
    from webdataset import cache

    assert url_to_cache_name(url, ndir) == cache.url_to_cache_name(url, ndir)
    assert islocal(url) == cache.islocal(url)


@pytest.mark.needs("webdataset")
@pytest.mark.parametrize("url", URLS)
def test_the_url_in_a_command_is_webdatasets(url, monkeypatch):
    monkeypatch.setenv("ALLOW_OBSOLETE", "1")
    from webdataset import cache

    assert pipe_cleaner(url) == cache.pipe_cleaner(url)


def test_webdatasets_name_of_what_is_no_text():
    with pytest.raises(AssertionError):
        url_to_cache_name(123)


def test_equal_last_parts_are_different_names():
    urls = [f"http://host/{folder}/000.tar{query}" for folder in ("train", "val") for query in ("", "?v=1", "?key=a", "?key=b")]
    assert len({shard_name(url) for url in urls}) == len(urls)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://host/a/train-000.tar.gz?x=y#z", "train-000-{}.tar.gz"),
        ("http://user:secret@host/a%20b:c.tar", "a_20b_c-{}.tar"),
        ("pipe:curl -s http://host/a.tar | cat", "a-{}.tar"),
        ("pipe:cat shard", "cat_shard-{}"),
        ("http://host/.tar", "{}.tar"),
        ("http://host/" + 300 * "x" + "." + 300 * "y", 100 * "x" + "-{}." + 50 * "y"),
    ],
)
def test_names_can_be_read_and_used(url, name):
    assert shard_name(url) == name.format(url_hash(url)[:16])
    assert len(shard_name(url) + ".ranges") < 255


@pytest.mark.parametrize("name", ["a.tar", "sub/a.tar", "sub/./a.tar", "x..y"])
def test_a_users_name_is_taken(name):
    assert name_in_cache("http://host/a.tar", lambda url: name) == name.replace("/./", "/")


@pytest.mark.parametrize("name", ["", ".", "/etc/passwd", "//a", "../a", "a/../../b", ".asyncwds/lock", "a\0b", None, 3, b"a"])
def test_a_users_name_that_leaves_the_folder_is_refused(name):
    with pytest.raises(SpecError, match="url_to_name") as refused:
        name_in_cache("http://host/a.tar", lambda url: name)
    assert refused.value.url == "http://host/a.tar"
