"""Names of shards → brace patterns: `train-000000.tar`, …, `train-000146.tar` is `train-{000000..000146}.tar`. No I/O."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

_NUMBERS = re.compile(r"(\d+)", re.ASCII)
_LONGEST = 15  # digits of what is a number in a row, and no hash
_SPECIAL = frozenset("{}\\")


class NameRun(NamedTuple):
    """`pattern` stands for `names[start:stop]`, in this order."""

    pattern: str
    start: int
    stop: int


def compress_names(names: Sequence[str]) -> Iterator[NameRun]:
    """Runs of names that differ in one number, which grows by 1; a name alone is its own pattern.

    `expand` gives the names of a pattern, but for a name alone that has braces of its own, which is left as it is.
    """
    start = 0
    while start < len(names):
        stop, place = start + 1, None
        first = _NUMBERS.split(names[start])
        if not _SPECIAL & set(names[start]) and stop < len(names):
            place = _place(first, _NUMBERS.split(names[stop]))
        if place is None:
            yield NameRun(names[start], start, stop)
        else:
            head, tail = "".join(first[:place]), "".join(first[place + 1 :])
            stop = _end(names, start, head, first[place], tail)
            last = names[stop - 1][len(head) : len(names[stop - 1]) - len(tail)]
            yield NameRun(f"{head}{{{first[place]}..{last}}}{tail}", start, stop)
        start = stop


def _place(parts: list[str], others: list[str]) -> int | None:
    """Where the only difference is that a number of the others follows that of the parts. Numbers have odd places."""
    if len(parts) != len(others):
        return None
    differ = [place for place, (part, other) in enumerate(zip(parts, others, strict=True)) if part != other]
    if len(differ) != 1 or not differ[0] % 2 or others[differ[0]] != _after(parts[differ[0]], 1):
        return None
    return differ[0]


def _end(names: Sequence[str], start: int, head: str, first: str, tail: str) -> int:
    stop = start + 1
    while stop < len(names) and names[stop] == f"{head}{_after(first, stop - start)}{tail}":
        stop += 1
    return stop


def _after(first: str, steps: int) -> str | None:
    """The number so many steps behind, of the same width, or wider if the first is not padded."""
    if len(first) > _LONGEST:
        return None
    number = str(int(first) + steps).zfill(len(first))
    is_padded = first.startswith("0") and len(first) > 1
    return None if is_padded and len(number) > len(first) else number
