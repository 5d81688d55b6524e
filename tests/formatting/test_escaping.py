"""What names in shards hold reaches no terminal and no log as it is."""

import logging
import os
import pickle
import subprocess
import traceback
import warnings
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from command_line import COMMAND, run_asyncwds

import asyncwds as wds
from asyncwds import warn_and_continue
from asyncwds.errors import DuplicateFieldError, FetchError, WdsError
from asyncwds.formatting import escape, printable
from asyncwds.testing import make_shard

# a name → as it is shown
HOSTILE = {
    "\x1b[31mred": r"\x1b[31mred",
    "\x1b]0;title\x07": r"\x1b]0;title\x07",
    "\x9b2J": r"\x9b2J",
    "a\nb": r"a\nb",
    "a\rb": r"a\rb",
    "a\r\nINFO:root:forged": r"a\r\nINFO:root:forged",
    "a\tb": r"a\tb",
    "a\x7f\x08b": r"a\x7f\x08b",
    "a\u202egpj\u202c": r"a\u202egpj\u202c",
    "a\u2066b\u2069": r"a\u2066b\u2069",
    "a\u2028b\x85c": r"a\u2028b\x85c",
    "zero\u200bwidth\ufeff": r"zero\u200bwidth\ufeff",
    "tag\U000e0041": r"tag\U000e0041",
    "half\udcff": r"half\udcff",
    "é日本🙂": "é日本🙂",
    "plain name": "plain name",
}
names = pytest.mark.parametrize(("name", "shown"), HOSTILE.items(), ids=HOSTILE.values())


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    path = tmp_path / "a.tar"
    path.write_bytes(make_shard([{"__key__": name, "txt": "x"} for name in HOSTILE], format="pax"))
    return path


@names
def test_what_is_not_printable_is_escaped_once(name: str, shown: str) -> None:
    assert printable(name) == escape(name) == shown
    assert printable(shown) == shown
    assert printable(repr(name)) == repr(name)


def test_no_two_names_look_alike() -> None:
    assert escape("a\n") == r"a\n"
    assert escape(r"a\n") == r"a\\n"
    assert printable(r"C:\a.tar") == r"C:\a.tar"


@names
def test_errors_are_one_line_and_keep_what_it_says(name: str, shown: str) -> None:
    error = FetchError(f"no {name}", url=f"/data/{name}", key=name, attempts=2)
    for each in (error, pickle.loads(pickle.dumps(error))):
        assert str(each) == f"no {shown} (url=/data/{shown}, key={shown}), after 2 attempts"
        assert traceback.format_exception_only(each)[0].rstrip("\n").isprintable()
        assert (each.key, each.url) == (name, f"/data/{name}")


@names
def test_warnings_of_handlers(name: str, shown: str) -> None:
    def fail(sample: Any) -> None:
        raise ValueError(f"bad {sample['__key__']}")

    with pytest.warns(UserWarning, match="bad") as caught:
        assert list(wds.map(fail, handler=warn_and_continue)([{"__key__": name}])) == []
    text = str(caught[0].message)
    assert text.startswith(f"ValueError: bad {shown}; in stage map")
    assert text.isprintable()


@names
def test_stages_that_show_and_log_samples(name: str, shown: str, tmp_path: Path) -> None:
    stream = StringIO()
    list(wds.info("{__key__}", stream=stream)([{"__key__": name}]))
    list(wds.info("{}", stream=stream)([(name, 1)]))
    list(wds.info(stream=stream)([{name: 1}]))
    assert stream.getvalue() == f"{shown}\n{shown}\n--- \n{shown} 1\n"
    list(wds.log_keys(tmp_path / "log")([{"__key__": name}]))
    assert (tmp_path / "log").read_text("utf-8") == f"0\t0\t0\t{shown}\n"


def _told(url: str | Path, *, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> list[str]:
    """What is written anywhere while a url is read, which fails, and the error's last line."""
    with warnings.catch_warnings(record=True) as warned, caplog.at_level(logging.DEBUG):
        warnings.simplefilter("always")
        with pytest.raises(WdsError) as caught:
            list(wds.WebDataset([url], verbose=True, shardshuffle=False))
        assert list(wds.WebDataset([url], handler=warn_and_continue, empty_check=False)) == []
    lines = [*traceback.format_exception_only(caught.value), *[str(each.message) for each in warned]]
    return [*lines, *capsys.readouterr().err.split("\n"), *[record.getMessage() for record in caplog.records]]


@pytest.mark.parametrize(
    "name", [name for name, shown in HOSTILE.items() if name != shown and "\n" not in name and "\r" not in name]
)
@pytest.mark.parametrize("make", [lambda name: Path("/nowhere", name), lambda name: f"pipe:echo {name}"], ids=["path", "pipe"])
def test_a_url_of_a_shard_that_fails(
    name: str, make: Callable[[str], str | Path], capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    lines = [line.rstrip("\n") for line in _told(make(f"{name}.tar"), capsys=capsys, caplog=caplog)]
    assert sum(HOSTILE[name] in line for line in lines) >= 3
    assert all(line.isprintable() for line in lines)


def test_what_a_command_says_before_it_fails() -> None:
    with pytest.raises(FetchError) as caught:
        list(wds.WebDataset(r"pipe:printf 'one\\ntwo\\033[31m' >&2; exit 3"))
    assert r"failed with status 3: one\ntwo\x1b[31m" in str(caught.value)


def test_two_members_of_a_hostile_name(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(make_shard([{"__key__": "a\n\x1b[1m", "jpg": b"1", "JPG": b"2"}]))
    with pytest.raises(DuplicateFieldError) as caught:
        list(wds.WebDataset(str(tmp_path / "a.tar")))
    assert str(caught.value).isprintable()


def test_ls_shows_keys_and_fields_on_lines_of_their_own(shard: Path, tmp_path: Path) -> None:
    listed = run_asyncwds("ls", shard)
    assert listed.stdout.split("\n")[: len(HOSTILE)] == [f"{shown}\ttxt:1" for shown in HOSTILE.values()]
    fields = tmp_path / "fields.tar"
    fields.write_bytes(make_shard([{"__key__": "k", name.lower(): "x"} for name in HOSTILE], format="pax"))
    of_fields = run_asyncwds("ls", fields)
    lines = of_fields.stdout.split("\n")
    assert lines[0] == "\t".join(["k", *[f"{printable(name.lower())}:1" for name in HOSTILE]])
    assert all(line.replace("\t", "").isprintable() for line in lines)
    assert [(done.returncode, done.stderr) for done in (listed, of_fields)] == [(0, "")] * 2


def test_ls_on_a_terminal_that_knows_less(shard: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    done = subprocess.run([*COMMAND, "ls", shard], capture_output=True, timeout=100, check=True, env=environment)
    assert done.stderr == b""
    assert "é\\u65e5\\u672c\\U0001f642\ttxt:1" in done.stdout.decode("latin-1").split("\n")
