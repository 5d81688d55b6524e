"""What differs between two data sets."""

import json
import random

import pytest
from command_line import run_asyncwds

from asyncwds.testing import make_samples, make_shard
from asyncwds.tools import Inputs, diff_shards


@pytest.fixture
def write(tmp_path):
    """`write(name, samples, shards)`: the inputs of a data set."""

    def write(name, samples, shards=1, **options):
        urls = []
        for number in range(shards):
            urls.append(str(tmp_path / f"{name}-{number}.tar"))
            (tmp_path / f"{name}-{number}.tar").write_bytes(make_shard(samples[number::shards], **options))
        return Inputs(urls=urls)

    return write


def test_order_shards_and_compression_make_no_difference(write, tmp_path):
    samples = list(make_samples(200))
    shuffled = random.Random(0).sample(samples, 200)
    comparison = diff_shards(write("a", samples), write("b", shuffled, 3, compress="gz"), temporary=str(tmp_path))
    assert (list(comparison), comparison.counts) == ([], {"same": 200})
    assert not list(tmp_path.glob("asyncwds-diff-*"))


def test_samples_that_are_added_removed_and_changed(write):
    before = [{"__key__": key, "jpg": b"1" * 9, "txt": key} for key in "abcde"]
    after = [*before[1:3], {"__key__": "d", "jpg": b"2" * 9, "cls": "7"}, before[4], {"__key__": "f", "jpg": b"xyz"}]
    comparison = diff_shards(write("a", before, 2), write("b", after, 2))
    assert sorted((each.kind, each.key, each.fields) for each in comparison) == [
        ("added", "f", {"jpg": (None, 3)}),
        ("changed", "d", {"cls": (None, 1), "jpg": (9, 9), "txt": (1, None)}),
        ("removed", "a", {"jpg": (9, None), "txt": (1, None)}),
    ]
    assert comparison.counts == {"same": 3, "added": 1, "removed": 1, "changed": 1}


def test_of_samples_with_one_key_each_is_compared_with_its_like(write):
    twice = [{"__key__": key, "txt": text} for key, text in (("a", "1"), ("b", "2"), ("a", "3"))]
    assert diff_of(write("a", twice), write("b", twice)) == []
    assert diff_of(write("a", twice), write("b", twice[:2])) == [("removed", "a")]


def diff_of(before, after):
    return [(each.kind, each.key) for each in diff_shards(before, after)]


def test_the_command(write, tmp_path):
    write("a", [{"__key__": key, "txt": key} for key in "abc"])
    write("b", [{"__key__": key, "txt": "a"} for key in "abd"])

    def diff(*arguments):
        done = run_asyncwds("diff", *arguments, cwd=tmp_path)
        return done.returncode, done.stdout

    assert diff("a-0.tar", "a-0.tar") == (0, "3 same, 0 added, 0 removed, 0 changed\n")
    status, text = diff("a-0.tar", "b-0.tar")
    assert status == 2
    assert set(text.splitlines()) == {"+ d\ttxt", "- c\ttxt", "~ b\ttxt: 1 -> 1", "1 same, 1 added, 1 removed, 1 changed"}
    *differences, totals = map(json.loads, diff("a-0.tar", "b-0.tar", "--json")[1].splitlines())
    assert len(differences) == 3
    assert totals == {"same": 1, "added": 1, "removed": 1, "changed": 1}
