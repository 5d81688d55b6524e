"""`asyncwds verify`, as a user runs it."""

import json

import pytest
from command_line import run_asyncwds

from asyncwds.testing import write_shards


@pytest.fixture
def folder(tmp_path, archive):
    write_shards(tmp_path, shards=2, samples=3)
    (tmp_path / "bad.tar").write_bytes(archive("a.jpg", "b.jpg", "a.txt", ("b.txt", b"")))
    return tmp_path


def verify(*arguments, folder):
    done = run_asyncwds("verify", *arguments, cwd=folder)
    return done.returncode, done.stdout, done.stderr


def test_sound_shards(folder):
    assert verify("shard-{000000..000001}.tar", folder=folder) == (0, "6 samples in 2 shards, 0 problems\n", "")


def test_findings_in_lines_and_in_json(folder):
    status, text, _ = verify("bad.tar", folder=folder)
    assert status == 2
    assert text.splitlines()[0] == "W17 warning: bad.tar at byte 3072: empty member: the field 'txt' has no bytes"
    assert "2 x W10 scattered (error)" in text
    status, text, _ = verify("bad.tar", "--ignore", "W17", "--json", folder=folder)
    *findings, totals = map(json.loads, text.splitlines())
    assert status == 2
    assert [(each["rule"], each["key"], each["offset"]) for each in findings] == [("W10", "a", 2048), ("W10", "b", 3072)]
    assert totals == {"shards": 1, "samples": 4, "problems": 2, "found": {"W10": 2}}


def test_statuses_of_what_cannot_be_done(folder):
    assert verify("none.tar", folder=folder)[0] == 3
    for wrong in (["bad.tar", "--ignore", "W99"], ["bad.tar", "--fix"], [], ["bad.tar", "--nonsense"]):
        status, text, error = verify(*wrong, folder=folder)
        assert (status, text) == (1, ""), wrong
        assert error


def test_repaired_shards(folder):
    (folder / "cut.tar").write_bytes((folder / "shard-000000.tar").read_bytes()[:7000])
    status, text, _ = verify("bad.tar", "shard-000000.tar", "--fix", "-o", "fixed-{shard}.tar", folder=folder)
    assert (status, text.splitlines()[0]) == (0, "5 samples in, 5 out in 2 shards")
    assert verify("fixed-{0,1}.tar", "--ignore", "W14,W17", folder=folder)[0] == 0
    status, text, _ = verify("cut.tar", "--fix", "-o", "whole.tar", "--json", folder=folder)
    *drops, report = map(json.loads, text.splitlines())
    assert status == 4
    assert [drop["key"] for drop in drops] == ["000000-000002"]
    assert (report["samples_in"], report["samples_out"]) == (3, 2)


def test_the_rules_are_listed(folder):
    status, text, _ = verify("--rules", folder=folder)
    assert (status, text.splitlines()[0]) == (0, "W01  error    truncated: The archive ends in a member or in a header.")
