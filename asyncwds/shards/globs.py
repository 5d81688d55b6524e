"""Wildcards in the urls of buckets and web servers: which urls have them, and what fits them. No I/O.

`*` and `?` stand for characters of one name, `[ab]` for one of these, `**` for any number of folders. As in a shell, names that
begin with a dot are found only by patterns that do.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

from asyncwds.errors import SpecError

_WILDCARD = re.compile(r"[*?\[]")
_WILDCARD_BEFORE_QUERY = re.compile(r"[*\[]")
_URL = re.compile(r"(?P<root>[A-Za-z][A-Za-z0-9+.-]*://[^/]*)(?P<path>/.*)?", re.DOTALL)


class Glob(NamedTuple):
    """`folder` is the url, with a slash at its end, below which `names` are looked for: one for each level."""

    folder: str
    names: tuple[str, ...]

    @property
    def url(self) -> str:
        return self.folder + "/".join(self.names)


def glob_of(url: str, *, has_query: bool = False) -> Glob | None:
    """The pattern that a url is, None if it has no wildcards. Raises SpecError where they cannot stand: in the name of a bucket.

    With `has_query`, `?` begins the query, and urls that have one are no patterns.
    """
    found = _URL.fullmatch(url)
    if found is None or (has_query and "?" in url):
        return None
    wildcard = _WILDCARD_BEFORE_QUERY if has_query else _WILDCARD
    if not has_query and wildcard.search(found["root"]):
        raise SpecError("the name of a bucket has no wildcards", url=url)
    names = (found["path"] or "").split("/")[1:]
    first = next((level for level, name in enumerate(names) if wildcard.search(name)), None)
    if first is None:
        return None
    patterns = [*names[first:], "*"] if names[-1] == "**" else names[first:]
    return Glob("/".join([found["root"], *names[:first], ""]), tuple(patterns))


def literal_start(pattern: str) -> str:
    """The beginning that all names have that fit."""
    found = _WILDCARD.search(pattern)
    start = pattern if found is None else pattern[: found.start()]
    return start if start.strip(".") else ""  # MinIO refuses to look for `.` and `..`


def fits(names: Sequence[str], patterns: Sequence[str]) -> bool:
    """Whether the names of folders and, at the end, an object fit the patterns."""
    if not patterns:
        return not names
    if patterns[0] != "**":
        return bool(names) and fits_name(names[0], patterns[0]) and fits(names[1:], patterns[1:])
    if fits(names, patterns[1:]):
        return True
    return len(names) > 1 and fits_name(names[0], "*") and fits(names[1:], patterns)


def fits_name(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) and (not name.startswith(".") or pattern.startswith("."))
