"""Patterns with braces stand for the strings that braceexpand gives, and know each by its number."""

from __future__ import annotations

import pickle
from itertools import islice

import pytest
from braceexpand import braceexpand
from hypothesis import assume, given
from hypothesis import strategies as st

from asyncwds.shards import parse_braces

TEXTS = st.text(alphabet="{},.\\ab01-Z\n٣", max_size=14)
"""What a pattern is made of, in any order: most are odd."""
NUMBERS = st.integers(-12, 120).flatmap(lambda number: st.sampled_from([f"{number}", f"{number:04}", f"{number:02}"]))
STEPS = st.sampled_from(["", "..0", "..1", "..3", "..-2", "..07"])
LETTER = st.sampled_from("ABMZabmz")
RANGES = st.one_of(
    st.builds("{{{}..{}{}}}".format, NUMBERS, NUMBERS, STEPS), st.builds("{{{}..{}{}}}".format, LETTER, LETTER, STEPS)
)
PLAIN = st.text(alphabet="ab/.-0\\", max_size=3)
PATTERNS = st.recursive(
    st.one_of(PLAIN, RANGES),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.lists(inner, min_size=1, max_size=3).map(lambda entries: "{" + ",".join(entries) + "}"),
    ),
    max_leaves=6,
)


@given(st.one_of(TEXTS, PATTERNS), st.booleans())
def test_the_strings_are_those_of_braceexpand(text: str, escape: bool) -> None:
    """But for a backslash that another one keeps: within braces it is taken again there, and here it stays."""
    assume(not escape or r"\\" not in text)
    try:
        expected = list(islice(braceexpand(text, escape=escape), 5000))
    except ValueError:
        with pytest.raises(ValueError, match="unbalanced"):
            parse_braces(text, escape=escape)
        return
    pattern = parse_braces(text, escape=escape)
    assert [pattern.at(index) for index in range(min(pattern.count, 5000))] == expected
    assert all(url.startswith(pattern.head) and url.endswith(pattern.tail) for url in expected)
    assert set("".join(expected)) <= set(pattern.text) | set("-0123456789")


@pytest.mark.parametrize(
    ("text", "count", "some"),
    [
        ("s-{000000..999999}.tar", 10**6, {0: "s-000000.tar", 123_456: "s-123456.tar", 999_999: "s-999999.tar"}),
        ("{a,b{0..9..3}}-{1..2}", 10, {0: "a-1", 1: "a-2", 2: "b0-1", 9: "b9-2"}),
        ("{0..999999}/{0..999999}{x,}", 2 * 10**12, {0: "0/0x", 1: "0/0", 2 * 10**12 - 1: "999999/999999"}),
        (r"\\{\\}{\\,\,}", 2, {0: r"\{\}" + "\\", 1: r"\{\},"}),
        ("{10..-3..5}", 3, {0: "10", 1: "5", 2: "0"}),
        ("{010..-3}", 14, {0: "010", 13: "-03"}),
    ],
)
def test_a_string_is_found_by_its_number(text: str, count: int, some: dict[int, str]) -> None:
    pattern = parse_braces(text)
    assert pattern.count == count
    assert {index: pattern.at(index) for index in some} == some
    assert pickle.loads(pickle.dumps(pattern)) == pattern
    assert len(pickle.dumps(pattern)) < 1000


def test_more_strings_than_can_be_counted_are_an_error() -> None:
    with pytest.raises(OverflowError, match="at most"):
        parse_braces("{0..99999999}{0..99999999}{0..99999999}")
    assert parse_braces("x{0..99999999}").with_head("y").at(7) == "y7"
