"""Windows: what follows each other as one, for `cat --window` and `create --window`."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import groupby
from typing import Generic, NamedTuple, TypeVar

from asyncwds import checks
from asyncwds.errors import SampleError
from asyncwds.tar.raw import RawMember, RawSample
from asyncwds.tools.report import Report
from asyncwds.tools.selection import checked_name

T = TypeVar("T")

JOINED = "in a window that begins with another"
BETWEEN = "between two windows"


class Window(NamedTuple, Generic[T]):
    """`new` of the items were in no window before."""

    items: Sequence[T]
    new: int


@dataclass(frozen=True, kw_only=True)
class Windows:
    """length        so many samples become one; its key is that of the first, its fields are "0.jpg", "1.jpg", …
    stride        the next window begins so many samples later
    within_shard  no window has samples of two shards
    shared        fields, by wildcards, that all samples of a window have alike: they stand once, under their own names
    """

    length: int
    stride: int = 1
    within_shard: bool = False
    shared: Sequence[str] = ()

    def __post_init__(self) -> None:
        checks.whole("window", self.length, 1)
        checks.whole("stride", self.stride, 1)


def cut_windows(items: Iterable[T], length: int, stride: int, of: str, left: Counter[str]) -> Iterator[Window[T]]:
    """Whole windows in order. Items that are in none are counted in `left`; `of` says what ends behind the last one."""
    window: deque[T] = deque()
    used = to_skip = 0  # of the items in the window: those that were in one before; of the next ones: those that are in none
    for item in items:
        if to_skip:
            to_skip -= 1
            left[BETWEEN] += 1
            continue
        window.append(item)
        if len(window) == length:
            yield Window(tuple(window), length - used)
            used = max(length - stride, 0)
            to_skip = max(stride - length, 0)
            for _ in range(length - used):
                window.popleft()
    if len(window) > used:
        left[f"behind the last whole window of {of}"] += len(window) - used


def join_windows(samples: Iterable[RawSample], windows: Windows, report: Report) -> Iterator[RawSample]:
    """Each window as a sample. Those that are in none are dropped, and so are all but one of each window, being joined.

    Raises SampleError for shared fields that are not alike.
    """
    of = "its shard" if windows.within_shard else "all shards"
    for _, together in groupby(samples, key=lambda sample: sample.shard if windows.within_shard else 0):
        for window, new in cut_windows(together, windows.length, windows.stride, of, report.dropped):
            if new > 1:
                report.dropped[JOINED] += new - 1
            yield _join(window, windows.shared)


def _join(window: Sequence[RawSample], shared: Sequence[str]) -> RawSample:
    first = window[0]
    once: dict[str, RawMember] = {}
    members = []
    for number, sample in enumerate(window):
        for member in sample.members:
            if any(fnmatchcase(member.field, pattern) for pattern in shared):
                once.setdefault(member.field, member)
            else:
                suffix = f"{number}.{member.name[len(sample.key) + 1 :]}"
                members.append(member.renamed(checked_name(first, first.key, suffix), f"{number}.{member.field}"))
    if taken := once.keys() & {member.field for member in members}:
        raise _error(first, f"the shared field {min(taken)!r} has the name of another one in the window")
    return first._replace(members=(*members, *[_alike(window, field, member) for field, member in once.items()]))


def _alike(window: Sequence[RawSample], field: str, member: RawMember) -> RawMember:
    """The member with the key of the first sample, if all samples have it."""
    value = member.read()
    for sample in window:
        other = sample.fields().get(field)
        if other is None or other.read() != value:
            raise _error(sample, f"the shared field {field!r} is not the same in all samples of a window")
    name = checked_name(window[0], window[0].key, field)
    return member if member.name == name else member.renamed(name, field)


def _error(sample: RawSample, message: str) -> SampleError:
    return SampleError(message, url=sample.url, offset=sample.offset, key=sample.key)
