"""Names of shards in short: braces that stand for the same names in the same order."""

import pytest

from asyncwds.shards import compress_names, expand


def numbered(form, *numbers):
    return [form % number for number in numbers]


@pytest.mark.parametrize(
    ("names", "patterns"),
    [
        (numbered("train-%06d.tar", *range(147)), ["train-{000000..000146}.tar"]),
        (numbered("s3://b/%d.tar", *range(8, 12)), ["s3://b/{8..11}.tar"]),
        (numbered("%03d.tar", 0, 1, 2, 4, 5, 9), ["{000..002}.tar", "{004..005}.tar", "009.tar"]),
        (numbered("%02d.tar", 98, 99, 100, 101), ["{98..101}.tar"]),
        (numbered("%02d.tar", *range(8, 102)), ["{08..99}.tar", "{100..101}.tar"]),
        (["a-0-0.tar", "a-0-1.tar", "a-1-0.tar", "a-1-1.tar"], ["a-0-{0..1}.tar", "a-1-{0..1}.tar"]),
        (["0/a.tar", "1/a.tar", "1/b.tar"], ["{0..1}/a.tar", "1/b.tar"]),
        (numbered("%d.tar", 3, 2, 1), ["3.tar", "2.tar", "1.tar"]),
        (["1.tar", "1.tar"], ["1.tar", "1.tar"]),
        (["1.tar", "02.tar"], ["1.tar", "02.tar"]),
        (["a٣.tar", "a٤.tar"], ["a٣.tar", "a٤.tar"]),
        (numbered("%020d.tar", 1, 2), numbered("%020d.tar", 1, 2)),
    ],
)
def test_patterns_stand_for_the_names(names, patterns):
    runs = list(compress_names(names))
    assert [run.pattern for run in runs] == patterns
    assert [name for run in runs for name in names[run.start : run.stop]] == names
    assert list(expand(patterns)) == names


def test_names_with_braces_are_left_as_they_are():
    names = ["{x}1.tar", "{x}2.tar", "a\\1.tar", "a\\2.tar"]
    assert [run.pattern for run in compress_names(names)] == names
