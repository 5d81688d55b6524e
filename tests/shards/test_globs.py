"""Wildcards: which urls have them, and what fits; the standard library's glob says what is right."""

import glob
import shutil
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncwds.errors import SpecError
from asyncwds.shards import Glob, fits, glob_of, literal_start


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("s3://b/a/x-*.tar", Glob("s3://b/a/", ("x-*.tar",))),
        ("s3://b/*", Glob("s3://b/", ("*",))),
        ("s3://b/a/b?c/d/e[01].tar", Glob("s3://b/a/", ("b?c", "d", "e[01].tar"))),
        ("s3://b/a/**/x.tar", Glob("s3://b/a/", ("**", "x.tar"))),
        ("s3://b/a/**", Glob("s3://b/a/", ("**", "*"))),
        ("S3://b/a#%?/*", Glob("S3://b/", ("a#%?", "*"))),
        ("hf://datasets/me/it@v1/*.tar", Glob("hf://datasets/me/it@v1/", ("*.tar",))),
        ("abfss://c@account.dfs.core.windows.net/a/*.tar", Glob("abfss://c@account.dfs.core.windows.net/a/", ("*.tar",))),
        ("https://h:81/a/x-*.tar", Glob("https://h:81/a/", ("x-*.tar",))),
        ("http://[::1]:81/a/x-[01].tar", Glob("http://[::1]:81/a/", ("x-[01].tar",))),
    ],
)
def test_urls_with_wildcards(url: str, found: Glob) -> None:
    assert glob_of(url, has_query=url.startswith("http")) == found
    assert found.url == url or url.endswith("**")


@pytest.mark.parametrize(
    "url",
    [
        "s3://b/a.tar",
        "s3://b",
        "s3://b/",
        "http://h/a.tar?x=*",
        "http://h/a?b",
        "http://[::1]/a.tar",
        "/data/*.tar",
        "pipe:cat *",
        "-",
    ],
)
def test_urls_without(url: str) -> None:
    assert glob_of(url, has_query=url.startswith("http")) is None


@pytest.mark.parametrize("url", ["s3://*/a", "s3://b?/a", "gs://b[0]"])
def test_no_wildcard_in_the_name_of_a_bucket(url: str) -> None:
    with pytest.raises(SpecError, match="bucket") as caught:
        glob_of(url)
    assert caught.value.url == url


def test_what_names_begin_with() -> None:
    assert [literal_start(name) for name in ("a-*.tar", "*", "a[b]", "a?", "a", ".*", "..a?")] == [
        "a-",
        "",
        "a",
        "a",
        "a",
        "",
        "..a",
    ]


PATTERN = st.lists(st.sampled_from(["**", "*", "a*", "?", "[ab]", "[!a]*", ".*", "a", "a.b", "*.b"]), min_size=1, max_size=4)
NAME = st.text(alphabet="ab.", min_size=1, max_size=3).filter(lambda name: name not in (".", ".."))


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tree")


@given(PATTERN.filter(lambda names: names[-1] != "**"), st.lists(NAME, min_size=1, max_size=4))
def test_what_fits_is_what_the_standard_library_finds(tree: Path, patterns: list[str], names: list[str]) -> None:
    path = tree.joinpath(*names)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        found = glob.glob("/".join(patterns), root_dir=tree, recursive=True)  # noqa: PTH207 - Path.glob finds hidden files too
        assert fits(names, patterns) == ("/".join(names) in found)
    finally:
        shutil.rmtree(tree / names[0]) if len(names) > 1 else path.unlink()


def test_the_alphabet_of_patterns_is_fnmatchs() -> None:
    assert all(fits([character], ["?"]) for character in string.printable if character not in "/.")
