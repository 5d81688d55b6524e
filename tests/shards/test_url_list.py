"""Patterns stay patterns: what they stand for is made when it is asked for, and is the same as ever."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import asyncwds as wds
from asyncwds.errors import SpecError
from asyncwds.shards import (
    Braces,
    UrlList,
    are_alike,
    expand,
    glob_of,
    in_folder,
    is_manifest,
    is_shard_name,
    parse_braces,
    scheme_of,
)

BILLION = "{000000000..999999999}"


def kept(urls: Sequence[str]) -> bool:
    return isinstance(urls, UrlList) and any(isinstance(piece, Braces) for piece in urls.pieces)


@pytest.mark.parametrize(
    "pattern",
    [
        "train-{0..3}.tar",
        "./{0..3}.tar.gz",
        "/data/{a,b}/train-{0..3}.tar",
        "/data/{a,b{1..2}}-{0..3}.tgz",
        "file:///data/{0..3}.tar",
        "https://h:8080/a{0..3}.tar",
        "https://h/{a,b}/{0..3}.tar?sig=*[x]&download=true",
        "s3://b/train-{000..003}.tar::gs://c/{a..d}/x.tar",
        "pipe:curl -s https://h/{0..3}.tar?x=[*] | gunzip",
        ["a.tar", "s3://b/{0..3}.tar", Path("{0..3}"), "c.tar"],
    ],
)
def test_a_pattern_whose_ends_say_what_its_urls_are_is_kept(pattern: str | list[str | Path]) -> None:
    urls = expand(pattern)
    assert kept(urls)
    listed = list(urls)
    assert listed == [urls[index] for index in range(len(urls))] == [urls[-index] for index in range(len(urls), 0, -1)]
    assert urls[1:3] == listed[1:3]
    assert pickle.loads(pickle.dumps(urls)) == urls
    for index in (len(urls), -len(urls) - 1):
        with pytest.raises(IndexError):
            urls[index]


@pytest.mark.parametrize(
    "pattern",
    [
        *("{s3,gs}://b/x.tar", "s3://{a,b}/x.tar", "s3://b/x.{tar,json}", "https://h/a.tar?x={0..1}", "https://h/{a?,b}/x.tar"),
        *("x{0..1}:a.tar", "file:///a%20{0..1}.tar", "https://h/{0..1}n", "s3://b/*{0..1}.tar", "https://h/{0..1}.tar "),
    ],
)
def test_other_patterns_are_lists_with_the_same_urls(pattern: str) -> None:
    assert not kept(expand(pattern))
    assert len(expand(pattern)) == 2


@pytest.mark.parametrize("pattern", ["{sub,b}/", "{sub,b}", "sub/{.,c}.tar", "{sub/*,b/*}.tar"])
def test_what_may_be_a_folder_or_several_files_is_looked_at(pattern: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("sub/c.tar", "b/d.tar", "sub/..tar"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).touch()
    assert not kept(expand(pattern))
    assert len(expand(pattern)) == 2


PARTS = st.lists(
    st.sampled_from(
        [
            *("s3://", "https://", "file:", "b/", "/", "a", ".", ".tar", ".json", "js", "on", "?", "#", "*", "[", " ", "-", "%20"),
            *("{0..2}", "{a,b}", "{,a}", "{a/b,c}", "{.tar,x}", "{.a,b}", "{*,a}", "{s3,gs}", "{a?,b}", "{json,a}", "{/,a}"),
        ]
    ),
    min_size=1,
    max_size=6,
).map("".join)


@given(st.sampled_from(["s3://b/", "https://h/", "/", "", "gs://{a,b}/"]), PARTS, st.sampled_from([".tar", "", "n", ".json"]))
def test_urls_of_a_pattern_that_is_kept_are_all_of_one_kind(start: str, middle: str, end: str) -> None:
    pattern = parse_braces(start + middle + end)
    if not are_alike(pattern):
        return
    urls = [pattern.at(number) for number in range(pattern.count)]

    def kind(url: str) -> object:
        scheme = scheme_of(url)
        if scheme == "file":
            return scheme, is_shard_name(url.rpartition("/")[2]), any(map(url.__contains__, "*?[")), "file" in url and "%" in url
        globs = [glob_of(url, has_query=has_query) is not None for has_query in (False, True)]
        return scheme, is_manifest(url), url.endswith("/"), globs

    assert {str(kind(url)) for url in urls} == {str(kind(urls[0]))}
    if scheme_of(urls[0]) == "file":
        assert kind(urls[0]) == ("file", True, False, False)


@pytest.mark.parametrize(
    ("pattern", "urls"),
    [
        ("a-{0..1}.tar", ["d/a-0.tar", "d/a-1.tar"]),
        ("{0..1}.tar", ["d/0.tar", "d/1.tar"]),
        ("/a/{0..1}.tar", ["/a/0.tar", "/a/1.tar"]),
        ("{a,b}/x.tar", ["d/a/x.tar", "d/b/x.tar"]),
    ],
)
def test_patterns_in_folders_are_kept(pattern: str, urls: list[str]) -> None:
    found = in_folder("d", parse_braces(pattern))
    assert found is not None
    assert [found.at(number) for number in range(found.count)] == urls


def test_a_pattern_that_may_be_absolute_is_not_taken_for_one_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("{/a,b}/x{0..1}.tar\n-{0..1}.tar\nfile:a{0..1}.tar\ns3://b/{0..1}.tar\n")
    folder = str(tmp_path)
    assert list(expand(f"@{folder}/list.txt")) == [
        *("/a/x0.tar", "/a/x1.tar", f"{folder}/b/x0.tar", f"{folder}/b/x1.tar", f"{folder}/-0.tar", f"{folder}/-1.tar"),
        *(f"{folder}/a0.tar", f"{folder}/a1.tar", "s3://b/0.tar", "s3://b/1.tar"),
    ]


def test_a_dataset_of_a_billion_shards_is_as_small_as_its_pattern(tmp_path: Path) -> None:
    for number in range(2):
        with wds.TarWriter(f"{tmp_path}/s-{number:09}.tar") as writer:
            writer.write({"__key__": f"{number}", "txt": "x"})
    dataset = wds.WebDataset(f"{tmp_path}/s-{BILLION}.tar", shardshuffle=False, seed=1)
    copy = pickle.loads(pickle.dumps(dataset))
    for each in (dataset, copy):
        samples = iter(each)
        assert [next(samples)["__key__"], next(samples)["__key__"]] == ["0", "1"]
        samples.close()
    assert len(pickle.dumps(dataset)) < 2000
    assert "1000000000 shards" in repr(dataset)
    assert "s-999999999.tar" in repr(dataset)


def test_lists_for_pipelines_keep_patterns_too() -> None:
    for shards in (wds.SimpleShardList(f"s3://b/{BILLION}.tar"), wds.ResampledShards(f"s3://b/{BILLION}.tar")):
        assert len(pickle.dumps(shards)) < 1000
        assert next(iter(shards))["url"].startswith("s3://b/")
    spec = wds.MultiShardSample({"prefix": "s3://b/", "datasets": [{"shards": f"{BILLION}.tar", "resample": 3}]})
    assert len(spec.get_shards_for_epoch()) == 3
    assert len(pickle.dumps(spec)) < 1000


@pytest.mark.parametrize("shards", [wds.SimpleShardList("s3://b/{0..3}.tar"), wds.ResampledShards("s3://b/{0..3}.tar", 5)])
def test_their_urls_are_a_list_for_whoever_asks_and_may_be_changed(shards: wds.SimpleShardList | wds.ResampledShards) -> None:
    assert shards.urls == [f"s3://b/{number}.tar" for number in range(4)]
    del shards.urls[1:]
    assert {shard["url"] for shard in shards} == {"s3://b/0.tar"}
    shards.urls = ["s3://b/x.tar"]
    assert {shard["url"] for shard in shards} == {"s3://b/x.tar"}


def test_more_shards_than_can_be_counted_are_an_error() -> None:
    for urls in ("s3://b/{0..9999999999}{0..9999999999}.tar", ["s3://b/{0..9000000000000000000}.tar"] * 2):
        with pytest.raises(SpecError, match=r"at most|than can be counted"):
            expand(urls)
