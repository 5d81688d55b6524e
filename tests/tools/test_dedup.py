"""One of samples that are the same."""

import json
import subprocess
import sys
from collections import Counter

import pytest

from asyncwds import WebDataset
from asyncwds.errors import SpecError
from asyncwds.testing import make_shard
from asyncwds.tools import Inputs, Outputs, dedup_shards

SAMPLES = [
    {"__key__": "a", "jpg": b"1", "json": '{"uid": 1}'},
    {"__key__": "b", "jpg": b"2", "json": '{"uid": 2}'},
    {"__key__": "c", "jpg": b"1", "json": '{"uid": 3}'},
    {"__key__": "a", "jpg": b"33", "json": '{"uid": 2, "more": "bytes of a second block, and so on: %s"}' % ("x" * 600)},
    {"__key__": "d", "jpg": b"1", "json": "{}"},
    {"__key__": "e", "txt": "no jpg"},
    {"__key__": "f", "txt": "none either"},
]


@pytest.fixture
def inputs(tmp_path):
    for number in range(2):
        (tmp_path / f"{number}.tar").write_bytes(make_shard(SAMPLES[number * 3 : 3 + number * 4]))
    return Inputs(urls=[str(tmp_path / f"{number}.tar") for number in range(2)])


@pytest.mark.filterwarnings("ignore::asyncwds.errors.ShardWarning")  # keys come again
@pytest.mark.parametrize(
    ("by", "keep", "kept"),
    [
        ("key", "first", "abcdef"),
        ("key", "largest", "bcadef"),
        ("sha256(jpg)", "first", "abaef"),
        ("json.uid", "first", "abcdef"),
        ("json.uid", "largest", "acadef"),
        ("len(txt)", "first", "abcadef"),
    ],
)
def test_one_of_each_is_kept(by, keep, kept, inputs, tmp_path):
    report = dedup_shards(inputs, Outputs(target=str(tmp_path / "out.tar")), by=by, keep=keep)
    samples = WebDataset(str(tmp_path / "out.tar"), shardshuffle=False)
    assert "".join(sample["__key__"] for sample in samples) == kept
    assert (report.samples_in, report.samples_out) == (7, len(kept))
    assert report.dropped == Counter({"duplicate": 7 - len(kept)} if len(kept) < 7 else {})


def test_a_list_of_what_is_dropped(inputs, tmp_path):
    nowhere = Outputs(target=None, dry_run=True)
    dedup_shards(inputs, nowhere, by="sha256(jpg)", drop_list=str(tmp_path / "twice.txt"))
    assert (tmp_path / "twice.txt").read_text() == "c\nd\n"
    with pytest.raises(SpecError, match="cannot tell samples apart"):
        dedup_shards(inputs, nowhere, drop_list=str(tmp_path / "twice.txt"))


def test_standard_input_is_refused():
    with pytest.raises(SpecError, match="reads twice"):
        dedup_shards(Inputs(urls=["-"]), Outputs(target=None, dry_run=True))


def test_the_command(inputs, tmp_path):
    arguments = ["dedup", "{0..1}.tar", "--by", "json.uid", "--dry-run", "--json", "--drop-list", "twice.txt"]
    done = subprocess.run(
        [sys.executable, "-m", "asyncwds.cli", *arguments], capture_output=True, text=True, timeout=100, check=False, cwd=tmp_path
    )
    assert (done.returncode, json.loads(done.stdout)["dropped"]) == (0, {"duplicate": 1})
    assert (tmp_path / "twice.txt").read_text() == "a\n"
