"""Whether a pattern can stay one: what its urls begin and end with says the same of all of them.

Other patterns are expanded, and each url is looked at: it may be one for several files, a folder, or a list of shards.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator

from asyncwds.shards.braces import Braces, Choice, Numbers, Part
from asyncwds.shards.folders import is_shard_name
from asyncwds.shards.urls import UrlList, each_url

_ROOT = re.compile(r"(?!file:)[A-Za-z][A-Za-z0-9+.-]+://[^/*?\[]*/", re.IGNORECASE)
_WILDCARD = re.compile(r"[*?\[#\s]")  # and what begins a query or a fragment, and blanks, which web addresses drop
_BLANK = re.compile(r"\s")
_LIST = ".json"
# Most urls have none of this, and need no closer look, which takes 5 µs.
_MAY_STAND_FOR_OTHERS = re.compile(r"[*?\[#\s]|/\Z|\.jsonl?\Z", re.IGNORECASE)


def are_alike(pattern: Braces) -> bool:
    """Whether all of its urls are shards of one scheme; or all of them patterns, where they are not local."""
    if pattern.head[:5].lower() == "pipe:":
        return True
    if _are_paths(pattern):
        return not _WILDCARD.search(pattern.text) and _is_shard(pattern)
    before = pattern.text[: len(pattern.text) - len(pattern.tail)]
    if not _ROOT.match(pattern.head) or _WILDCARD.search(before) or _BLANK.search(pattern.tail):
        return False
    return all(map(_ends_alike, (pattern.tail, re.split("[?#]", pattern.tail, maxsplit=1)[0])))


def in_folder(folder: str, pattern: Braces) -> Braces | None:
    """The same in a folder, as `os.path.join` says; None where that depends on what the braces give."""
    starts = [*pattern.parts, ""][0]
    if isinstance(starts, Choice) and "/" in starts.text:
        return None
    return pattern.with_head(os.path.join(folder, pattern.head)) if folder else pattern  # noqa: PTH118 - a Path would normalise


def may_stand_for_others(urls: UrlList, prefixes: Iterable[str]) -> Iterator[str]:
    """Those that are patterns, folders or manifests, as far as their text tells; of a pattern with braces its first url, since all
    are alike, unless settings are given for urls with some of the `prefixes` only.
    """
    for piece in urls.pieces:
        alike = isinstance(piece, Braces) and not any(each.startswith(piece.head) and each != piece.head for each in prefixes)
        first = [piece.at(0)] if isinstance(piece, Braces) and alike else each_url(piece)
        yield from filter(_MAY_STAND_FOR_OTHERS.search, first)


def _are_paths(pattern: Braces) -> bool:
    """Whether all are local; the path of a `file:` URL is percent-decoded."""
    is_file_url = pattern.head[:5].lower() == "file:"
    return ":" not in pattern.text[5 if is_file_url else 0 :] and not (is_file_url and "%" in pattern.text)


def _ends_alike(tail: str) -> bool:
    """Whether an end says if it is that of a list; one by which nothing is said is none."""
    return bool(tail) and (len(tail) >= len(_LIST) or not _LIST.endswith(tail.lower()))


def _is_shard(pattern: Braces) -> bool:
    """Whether all names are those of shards, so that they needn't be looked for."""
    name: list[Part] = []  # the parts of the last name
    for part in reversed(pattern.parts):
        text = part if isinstance(part, str) else part.text
        if "/" in text:
            if not isinstance(part, str):
                return False
            name.insert(0, text.rpartition("/")[2])
            break
        name.insert(0, part)
    name = [part for part in name if part]
    if len(name) == 1 and isinstance(name[0], str):
        return is_shard_name(name[0])
    last = name[-1] if name else ""
    return isinstance(last, str) and is_shard_name(f"a{last}") and _begins_plainly(name[0])


def _begins_plainly(part: Part) -> bool:
    """Whether it is never empty and begins no hidden file."""
    if isinstance(part, Choice):
        return all(pattern.parts and _begins_plainly(pattern.parts[0]) for pattern in part.patterns)
    return isinstance(part, Numbers) or part[0] != "."
