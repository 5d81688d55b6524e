"""Brace patterns as they are: parsed once, and each string is made when it is asked for, by its number.

    {a,b{1..2}}            lists, which may hold others
    {8..10}, {08..10..2}   whole numbers, padded to the width of what is written with zeros, in steps, in both directions
    {a..e}                 letters, A to Z before a to z
    {}, {a}                no list: these braces stay
    \\{                     the character by itself

The strings and their order are those of the library braceexpand, in which the last braces count fastest.
"""

from __future__ import annotations

import re
import string
import sys
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import accumulate
from math import prod

LETTERS = string.ascii_uppercase + string.ascii_lowercase
_NUMBERS = re.compile(r"(-?\d+)\.\.(-?\d+)(?:\.\.-?(\d+))?\n?")
_LETTERS = re.compile(r"([A-Za-z])\.\.([A-Za-z])(?:\.\.-?(\d+))?\n?")
_ESCAPED = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True)
class Numbers:
    """Whole numbers, padded with zeros to a width."""

    numbers: range
    width: int = 0
    text = ""

    @property
    def count(self) -> int:
        return len(self.numbers)

    @property
    def template(self) -> str:
        return f"%0{self.width}d"

    def at(self, index: int) -> int:
        return self.numbers[index]


@dataclass(frozen=True, slots=True)
class Choice:
    """The strings of one pattern after those of another."""

    patterns: tuple[Braces, ...]
    template = "%s"
    ends: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ends", tuple(accumulate(pattern.count for pattern in self.patterns)))

    @property
    def count(self) -> int:
        return self.ends[-1]

    @property
    def text(self) -> str:
        return "".join(pattern.text for pattern in self.patterns)

    def at(self, index: int) -> str:
        number = bisect_right(self.ends, index)
        return self.patterns[number].at(index - (self.ends[number - 1] if number else 0))


Part = str | Numbers | Choice


@dataclass(frozen=True, slots=True)
class Braces:
    """All combinations of the parts' strings: a template for `%`, and for each string the values that it is filled with."""

    parts: tuple[Part, ...]
    count: int = field(init=False, repr=False, compare=False)
    _template: str = field(init=False, repr=False, compare=False)
    _varying: tuple[Numbers | Choice, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        varying = tuple(part for part in self.parts if not isinstance(part, str))
        count = prod([part.count for part in varying])
        if count > sys.maxsize:
            raise OverflowError(f"a pattern stands for at most {sys.maxsize:.2g} strings, not {float(count):.2g}")
        templates = [part.replace("%", "%%") if isinstance(part, str) else part.template for part in self.parts]
        object.__setattr__(self, "count", count)
        object.__setattr__(self, "_template", "".join(templates))
        object.__setattr__(self, "_varying", varying)

    def at(self, index: int) -> str:
        if len(self._varying) == 1:
            return self._template % self._varying[0].at(index)
        values: list[int | str] = []
        for part in reversed(self._varying):
            index, number = divmod(index, part.count)
            values.append(part.at(number))
        values.reverse()
        return self._template % tuple(values)

    @property
    def head(self) -> str:
        """What all of them begin with, as far as it is written outside of braces."""
        return self.parts[0] if self.parts and isinstance(self.parts[0], str) else ""

    @property
    def tail(self) -> str:
        """What they end with, if that is not all of it."""
        return self.parts[-1] if len(self.parts) > 1 and isinstance(self.parts[-1], str) else ""

    @property
    def text(self) -> str:
        """All that is written, one part after the other; what is not in it is in none of the strings, but for numbers."""
        return "".join(part if isinstance(part, str) else part.text for part in self.parts)

    def with_head(self, head: str) -> Braces:
        return replace(self, parts=(head, *(self.parts[1:] if self.head else self.parts)))


def parse_braces(text: str, *, escape: bool = True) -> Braces:
    """The pattern that a text is. With `escape`, a backslash takes the meaning from what follows it.

    Raises ValueError for braces that are not balanced, and OverflowError for more strings than can be counted.
    """
    parts: list[Part] = []
    start = depth = 0
    for position in _special(text, "{}", escape=escape):
        if text[position] == "{":
            if depth == 0:
                parts.append(_literal(text[start:position], escape=escape))
                start = position
            depth += 1
        else:
            depth -= 1
            if depth == 0:
                parts += _within_braces(text[start + 1 : position], escape=escape)
                start = position + 1
    if depth != 0:
        raise ValueError(f"unbalanced braces: {text!r}")
    return _joined([*parts, _literal(text[start:], escape=escape)])


def _joined(parts: list[Part]) -> Braces:
    """Literals beside each other are one, and empty ones none."""
    joined: list[Part] = []
    for part in parts:
        if part == "":
            continue
        if isinstance(part, str) and joined and isinstance(joined[-1], str):
            joined[-1] += part
        else:
            joined.append(part)
    return Braces(tuple(joined))


def _literal(text: str, *, escape: bool) -> str:
    return _ESCAPED.sub(r"\1", text) if escape else text


def _special(text: str, characters: str, *, escape: bool) -> Iterator[int]:
    """Where one of the characters stands that no backslash stands before."""
    position = 0
    while position < len(text):
        if escape and text[position] == "\\":
            position += 1
        elif text[position] in characters:
            yield position
        position += 1


def _within_braces(text: str, *, escape: bool) -> list[Part]:
    """What a pair of braces with this between them stands for."""
    if found := _NUMBERS.fullmatch(text):
        return [_numbers(*found.groups())]
    if found := _LETTERS.fullmatch(text):
        return [Choice(tuple(Braces((letter,)) for letter in _letters(*found.groups())))]
    entries = _entries(text, escape=escape)
    if len(entries) == 1:  # no list
        return ["{", *parse_braces(text, escape=escape).parts, "}"]
    return [Choice(tuple(parse_braces(entry, escape=escape) for entry in entries))]


def _entries(text: str, *, escape: bool) -> list[str]:
    """What stands between the commas that are not within further braces."""
    entries = []
    start = depth = 0
    for position in _special(text, "{},", escape=escape):
        match text[position]:
            case "{":
                depth += 1
            case "}":
                depth -= 1
            case _ if depth == 0:
                entries.append(text[start:position])
                start = position + 1
    return [*entries, text[start:]]


def _numbers(first: str, last: str, step: str | None) -> Numbers:
    padded = any(bound.startswith(("0", "-0")) and bound not in ("0", "-0") for bound in (first, last))
    by = int(step or 1) or 1
    start, end = int(first), int(last)
    numbers = range(start, end + 1, by) if start < end else range(start, end - 1, -by)
    return Numbers(numbers, max(len(first), len(last)) if padded else 0)


def _letters(first: str, last: str, step: str | None) -> Iterator[str]:
    by = int(step or 1) or 1
    start, end = LETTERS.index(first), LETTERS.index(last)
    numbers = range(start, end + 1, by) if start < end else range(start, end - 1, -by)
    return (LETTERS[number] for number in numbers)
