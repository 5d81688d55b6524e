from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncwds.errors import SpecError
from asyncwds.shards import expand, local_path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Five empty shards, in the current folder."""
    for name in ["b-2.tar", "b-1.tar", "a-1.tar", "x[1].tar", "sub/c-1.tar"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("pattern", "urls"),
    [
        ("a.tar", ["a.tar"]),
        ("a-{000..002}.tar", ["a-000.tar", "a-001.tar", "a-002.tar"]),
        ("a-{08..10}.tar", ["a-08.tar", "a-09.tar", "a-10.tar"]),
        ("a{0..10..5}", ["a0", "a5", "a10"]),
        ("a{03..1}", ["a03", "a02", "a01"]),
        ("{a,b{1..2}}.tar", ["a.tar", "b1.tar", "b2.tar"]),
        ("a{0..1}{x,y}", ["a0x", "a0y", "a1x", "a1y"]),
        ("a.tar::b-{0..1}.tar", ["a.tar", "b-0.tar", "b-1.tar"]),
        ("b.tar::a.tar::b.tar", ["b.tar", "a.tar", "b.tar"]),
        ("a,b.tar", ["a,b.tar"]),
        ("a{}b{c}", ["a{}b{c}"]),
        ("pipe:cat {a,b}.tar | gunzip", ["pipe:cat a.tar | gunzip", "pipe:cat b.tar | gunzip"]),
        ("pipe:cat *.tar", ["pipe:cat *.tar"]),
        ("-", ["-"]),
        ("https://h/a-{0..1}.tar?q=[*]&r=?", ["https://h/a-0.tar?q=[*]&r=?", "https://h/a-1.tar?q=[*]&r=?"]),
        ("http://[::1]:80/a.tar::http://[fe80::1]/b.tar", ["http://[::1]:80/a.tar", "http://[fe80::1]/b.tar"]),
        (["a{0..1}", Path("b{0..1}"), "c::d"], ["a0", "a1", "b{0..1}", "c", "d"]),
        (["pipe:cat {a,b}.tar"], ["pipe:cat {a,b}.tar"]),
        (
            ["pipe:echo '{1,2}' >/dev/null; cat ${HOME}/a.tar", "b{0..1}"],
            ["pipe:echo '{1,2}' >/dev/null; cat ${HOME}/a.tar", "b0", "b1"],
        ),
        (["pipe:echo a::b", "PIPE:awk '{' a\\b"], ["pipe:echo a::b", "PIPE:awk '{' a\\b"]),
        (["a{0..1}.tar\n", "b.tar\r\n", "\n", "pipe:cat x\n", " c.tar "], ["a0.tar", "a1.tar", "b.tar", "pipe:cat x", " c.tar "]),
        ("pipe:awk '{print $1}' a.txt", ["pipe:awk '{print $1}' a.txt"]),
        (("s3://b/*.tar",), ["s3://b/*.tar"]),
    ],
)
def test_expand(pattern: object, urls: list[str]) -> None:
    assert list(expand(pattern)) == urls


@pytest.mark.parametrize("command", ["cat '{a,b}.tar'", 'cat "x{1..2}.tar" | cat', "echo '::'"])
def test_a_command_by_itself_whose_quotes_are_not_kept_is_warned_of(command: str) -> None:
    with pytest.warns(UserWarning, match=r"expanded in quotes too: put it into a list.*\[.pipe:"):
        assert len(expand(f"pipe:{command}")) == 2
    assert list(expand([f"pipe:{command}"])) == [f"pipe:{command}"]


@pytest.mark.parametrize("command", ["cat ${HOME}/a.tar", "awk '{' a.tar"])
def test_an_error_in_a_command_by_itself_says_how_it_is_left_alone(command: str) -> None:
    with pytest.raises(SpecError, match="in a list, a command is taken as it is"):
        expand(f"pipe:{command}")


def test_an_iterator_is_consumed_once_in_order() -> None:
    assert list(expand(f"{name}.tar" for name in "zxy")) == ["z.tar", "x.tar", "y.tar"]


@given(st.integers(0, 999), st.integers(0, 50), st.integers(1, 6))
def test_ranges_are_padded_as_their_bounds(start: int, count: int, width: int) -> None:
    names = [f"{number:04}" for number in range(start, start + count * width + 1, width)]
    assert list(expand("s-{" + f"{names[0]}..{names[-1]}..{width}" + "}.tar")) == [f"s-{name}.tar" for name in names]


def test_variables_are_taken_from_names_with_a_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WDS_BUCKET", "s3://bucket/{train,val}")
    assert list(expand("${BUCKET}/a.tar")) == ["s3://bucket/train/a.tar", "s3://bucket/val/a.tar"]
    assert list(expand(["$BUCKET/a.tar"])) == ["$BUCKET/a.tar"]


def test_an_unset_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WDS_NOWHERE", raising=False)
    with pytest.raises(SpecError, match="WDS_NOWHERE"):
        expand("${NOWHERE}/a.tar")


def test_globs_are_sorted_and_combine_with_braces(folder: Path) -> None:
    assert list(expand("b-*.tar")) == ["b-1.tar", "b-2.tar"]
    assert list(expand("{b,a}-?.tar")) == ["b-1.tar", "b-2.tar", "a-1.tar"]
    assert list(expand("**/c-[12].tar")) == ["sub/c-1.tar"]
    assert list(expand(f"{folder}/a-*.tar")) == [f"{folder}/a-1.tar"]
    assert list(expand((folder / "b-*.tar").as_uri().replace("%2A", "*"))) == [f"{folder}/b-1.tar", f"{folder}/b-2.tar"]


def test_a_file_whose_name_looks_like_a_glob_is_taken_as_it_is(folder: Path) -> None:
    assert list(expand("x[1].tar")) == ["x[1].tar"]
    assert list(expand((folder / "x[1].tar").as_uri())) == [(folder / "x[1].tar").as_uri()]


ODD = ["a{1,2}.tar", "a\\b.tar", "a\\{x.tar", "a::b.tar", "${HOME}.tar", "{.tar", "@odd.txt", "x[12].tar", "*.tar", "a?.tar"]


@pytest.mark.parametrize("name", ODD)
def test_an_existing_file_goes_before_any_pattern(folder: Path, name: str) -> None:
    (folder / "sub" / name).touch()
    (folder / name).touch()
    assert list(expand(name)) == list(expand([name + "\n"])) == [name]
    assert list(expand(f"{folder}/{name}")) == [f"{folder}/{name}"]
    (folder / "sub" / "list.txt").write_text(f"./{name}\npipe:cat {{a,b}}\n")
    assert list(expand("@sub/list.txt")) == [f"sub/./{name}", "pipe:cat {a,b}"]
    if "::" not in name and "$" not in name:  # which are seen before the string is taken apart
        assert list(expand(f"z.tar::{name}")) == ["z.tar", name]


@pytest.mark.parametrize("pattern", ["nothing-*.tar", "{a,nothing}-*.tar", "sub/*/x.tar"])
def test_a_glob_that_matches_nothing_is_an_error(folder: Path, pattern: str) -> None:
    with pytest.raises(SpecError, match="no file matches"):
        expand(pattern)


def test_lists_in_files_are_relative_to_the_list(folder: Path) -> None:
    lines = [
        "\ufeff# comment",
        "",
        "  c-{1..2}.tar  ",
        "c-*.tar",
        "../a-*.tar",
        "/abs.tar::https://h/x.tar",
        "-",
        "file:///f%20g.tar",
    ]
    (folder / "sub" / "list.txt").write_text("\r\n".join(lines), encoding="utf-8")
    expected = ["sub/c-1.tar", "sub/c-2.tar", "sub/c-1.tar", "sub/../a-1.tar", "/abs.tar", "https://h/x.tar", "-", "/f g.tar"]
    assert list(expand("@sub/list.txt")) == expected
    assert list(expand(["z.tar", "@sub/list.txt"])) == ["z.tar", *expected]
    assert list(expand("@sub/list.txt::z.tar")) == [*expected, "z.tar"]


def test_a_list_may_lie_in_a_folder_whose_name_looks_like_a_pattern(folder: Path) -> None:
    odd = folder / "data[1]{a,b}"
    odd.mkdir()
    (odd / "s.tar").touch()
    (odd / "list.txt").write_text("*.tar\n")
    assert list(expand(f"@{odd}/list.txt")) == [f"{odd}/s.tar"]


@pytest.mark.parametrize("content", [None, b"", b"# a comment\n\n", b"\xff\xfe\x00", b"@other.txt", b"a.tar\n::\n", b"no-*.tar"])
def test_a_list_that_gives_no_urls_is_an_error(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(SpecError):
        expand(f"@{tmp_path}/list.txt")


@pytest.mark.parametrize("path", ["-", "pipe:ls", "@list.txt", "a{0..1}.tar", "a::b.tar", "*.tar", "/abs.tar", "${X}"])
def test_paths_are_local_and_taken_verbatim(path: str) -> None:
    (url,) = expand(Path(path))
    assert local_path(url) == url
    assert Path(url) == Path(path)


@pytest.mark.parametrize(
    "urls",
    [
        *([], (), iter([]), "", "a::", "::a", "a::::b", "{a"),
        *(b"a.tar", 3, None, 1.5, {"a": 1}, {"a", "b"}),
        *([3], [b"a"], [["a"]], [None]),
    ],
)
def test_what_is_no_list_of_urls_is_a_spec_error(urls: object) -> None:
    with pytest.raises(SpecError) as caught:
        expand(urls)
    assert isinstance(caught.value, ValueError)


def test_errors_do_not_show_secrets() -> None:
    with pytest.raises(SpecError) as caught:
        expand("https://user:hunter2@host/{a.tar?X-Amz-Signature=hunter2")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("a.tar", "a.tar"),
        ("/a b%20.tar", "/a b%20.tar"),
        ("C:\\a.tar", "C:\\a.tar"),
        ("file:a.tar", "a.tar"),
        ("file:/a.tar", "/a.tar"),
        ("file:///a%20b.tar", "/a b.tar"),
        ("FILE://localhost/a.tar", "/a.tar"),
        ("-", None),
        ("pipe:cat a.tar", None),
        ("https://h/a.tar", None),
        ("s3://b/a.tar", None),
    ],
)
def test_local_path(url: str, path: str | None) -> None:
    assert local_path(url) == path
