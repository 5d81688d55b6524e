"""What is wrong with the name of a member. Plain functions of names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from asyncwds.tar.grouping import base_plus_ext, is_meta

LONGEST = 100  # bytes that a header holds
LONGEST_PART = 255  # bytes that file systems take

# Nearly all names are of this form, which is seen at once: 0.3 µs.
is_plain = re.compile(r"(?!__)(?=.{3,100}\Z)(?:[\w\-+=@,]+/)*[\w\-+=@,]+(?:\.[a-z0-9_\-]+)+", re.ASCII).fullmatch
"""A match, if there is nothing to say about a name, and no closer look is needed."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]").search


def check_name(name: str) -> Iterator[tuple[str, str]]:
    """Rule and message for all that is wrong with it."""
    raw = name.encode("utf-8", "surrogateescape")
    if name.startswith("/") or ".." in name.split("/"):
        yield "W20", f"the name {name[:200]!r} leads out of the folder where it is unpacked"
    if len(raw) > LONGEST or any(len(part) > LONGEST_PART for part in raw.split(b"/")):
        yield "W23", f"the name {name[:200]!r} has {len(raw)} bytes"
    if _CONTROL(name):
        yield "W25", f"the name {name[:200]!r} is not UTF-8, or has control characters"
    if is_meta(name):
        return
    key, suffix = base_plus_ext(name)
    if key is None or not suffix:
        yield "W24", f"the member {name[:200]!r} belongs to no sample: its name has no extension, or nothing before it"
    elif suffix != suffix.lower():
        yield "W21", f"the extension of {name[:200]!r} has capitals"


def split_keys(fields: Mapping[str, int]) -> list[str]:
    """Fields that look like parts of keys: of those with dots that end alike, nine in ten are in one sample only.

    `fields` has how many samples have each. Numbers of frames, as in `000.jpg` to `063.jpg`, are none.
    """
    by_ending: dict[str, list[str]] = {}
    for field in fields:
        head, dot, ending = field.rpartition(".")
        if dot and not _is_frame(head, len(fields)):
            by_ending.setdefault(ending, []).append(field)
    return [name for found in by_ending.values() for name in _mostly_single(found, fields)]


def _mostly_single(found: Iterable[str], fields: Mapping[str, int]) -> list[str]:
    names = list(found)
    single = [name for name in names if fields[name] == 1]
    return single if len(single) >= 2 and len(single) >= 0.9 * len(names) else []


def _is_frame(head: str, count: int) -> bool:
    return head.isdecimal() and int(head) <= count
