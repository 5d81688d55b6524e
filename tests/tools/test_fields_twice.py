"""Two members of a sample that give the same field: what copies keeps both, and what makes something of fields loses none."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from asyncwds.errors import DuplicateFieldError, SampleError
from asyncwds.tools import (
    Command,
    Inputs,
    OtherSide,
    Outputs,
    Report,
    cat_shards,
    diff_shards,
    join_shards,
    map_samples,
    proc_samples,
)

TWICE = [("a.txt", b"1"), ("a.TXT", b"2"), ("b.txt", b"3")]


def changed(tmp_path: Path, tool: str) -> Callable[[Inputs, Outputs], Report]:
    (tmp_path / "same.py").write_text("def same(sample): return sample\n")
    if tool == "map":
        return partial(map_samples, function=f"{tmp_path}/same.py:same")
    return partial(proc_samples, command=Command("true"))


@pytest.mark.parametrize("tool", ["map", "proc"])
def test_it_is_an_error_or_reported(write, members_of, tmp_path, tool):
    url, out = write("in.tar", TWICE), tmp_path / "out.tar"
    with pytest.raises(DuplicateFieldError, match="member 'a.TXT' gives a field that its sample already has") as caught:
        changed(tmp_path, tool)(Inputs(urls=[url]), Outputs(target=str(out)))
    assert (caught.value.url, caught.value.offset, caught.value.key) == (url, 0, "a")
    report = changed(tmp_path, tool)(Inputs(urls=[url], on_error="skip"), Outputs(target=str(out)))
    assert (report.samples_in, report.samples_out, report.dropped) == (2, 1, {"damaged": 1})
    assert members_of(out) == [("b.txt", b"3")]
    report = changed(tmp_path, tool)(Inputs(urls=[url], on_error="stop"), Outputs(target=str(out), force=True))
    assert (report.samples_in, report.samples_out) == (1, 0)


def test_a_field_with_the_name_that_functions_get_the_key_by(write, tmp_path):
    url = write("in.tar", [("a.__key__", b"other")])
    with pytest.raises(DuplicateFieldError):
        changed(tmp_path, "map")(Inputs(urls=[url]), Outputs(target=str(tmp_path / "out.tar")))


def test_joined_and_copied(write, members_of, tmp_path):
    url, other = write("in.tar", TWICE), write("other.tar", [("a.cls", b"1"), ("b.cls", b"2")])
    with pytest.raises(DuplicateFieldError):
        join_shards(Inputs(urls=[url]), OtherSide(urls=[other]), Outputs(target=str(tmp_path / "out.tar")))
    cat_shards(Inputs(urls=[url]), Outputs(target=str(tmp_path / "copy.tar")))
    assert members_of(tmp_path / "copy.tar") == TWICE


def test_a_difference_in_the_second_one(write):
    before, after = write("in.tar", TWICE), write("after.tar", [TWICE[0], ("a.TXT", b"other"), TWICE[2]])
    assert [(one.key, list(one.fields)) for one in diff_shards(Inputs(urls=[before]), Inputs(urls=[after]))] == [("a", ["txt (2)"])]


def test_a_key_that_no_variable_can_have(write, tmp_path):
    url = write("in.tar", [("zero", b"")], format=2)
    data = Path(url).read_bytes()
    record = b"20 path=a\0bcdef.txt\n"
    size = data[:124] + b"%011o\0" % len(record) + data[136:148] + b" " * 8 + b"x" + data[157:512]
    header = size[:148] + b"%06o\0 " % sum(size) + size[156:]
    Path(url).write_bytes(header + record + bytes(512 - len(record)) + data)
    with pytest.raises(SampleError, match="the key has a zero byte"):
        changed(tmp_path, "proc")(Inputs(urls=[url]), Outputs(target=str(tmp_path / "out.tar")))
