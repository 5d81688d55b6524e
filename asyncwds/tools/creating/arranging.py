"""Drafts → drafts: files grouped by key, fields that all samples of a group get, windows, classes, what is required."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from itertools import groupby
from posixpath import basename

from asyncwds.errors import SampleError, SpecError
from asyncwds.tools.creating.draft import Draft
from asyncwds.tools.creating.members import Member, is_hidden
from asyncwds.tools.creating.naming import Naming, part_of
from asyncwds.tools.windows import Windows, cut_windows


def group_members(
    members: Iterable[Member],
    naming: Naming,
    dropped: Counter[str],
    *,
    group_by: str | None = None,
    cls_from: str | None = None,
    broadcast: Sequence[str] = (),
) -> tuple[list[Draft], list[str]]:
    """Files with the same key are a sample, wherever they stand; samples are in the order of their first files.

    Files whose names match `broadcast` are fields of all samples of their group. With `cls_from` each sample gets its class as a
    number, and the names of the classes are returned too. Raises SampleError where two files are the same field of a sample.
    """
    drafts: dict[str, Draft] = {}
    shared: dict[str, dict[str, Member]] = {}
    classes: dict[str, str] = {}
    for member in members:
        group = part_of(group_by, member.path, "group_by")
        if any(fnmatchcase(basename(member.path), pattern) for pattern in broadcast):
            shared.setdefault(group, {})[basename(member.path).lstrip("_").lower()] = member
        elif is_hidden(member.path):
            dropped["hidden file"] += 1
        elif (named := naming.split(member.path)) is None:
            dropped["file without key and field"] += 1
        else:
            _add(drafts, member, named, group)
            classes[named[0]] = part_of(cls_from, member.path, "cls_from")
    names = [] if cls_from is None else _number_classes(drafts, classes)
    for draft in drafts.values():
        _share(draft, shared.get(draft.group, {}))
    return list(drafts.values()), names


def _add(drafts: dict[str, Draft], member: Member, named: tuple[str, str], group: str) -> None:
    key, field = named
    draft = drafts.setdefault(key, Draft(key, {}, member.path, group))
    if field in draft.fields:
        raise SampleError(
            f"{draft.origin} and {member.path} both have field {field!r} of the same key: another `key_from` keeps them apart",
            key=key,
        )
    draft.fields[field] = member.read


def _number_classes(drafts: dict[str, Draft], classes: dict[str, str]) -> list[str]:
    names = sorted(set(classes.values()))
    numbers = {name: number for number, name in enumerate(names)}
    for key, draft in drafts.items():
        if "cls" in draft.fields:
            raise SampleError(f"{draft.origin} has a field cls, which cls_from would replace", key=key)
        draft.fields["cls"] = numbers[classes[key]]
    return names


def _share(draft: Draft, shared: dict[str, Member]) -> None:
    for field, member in shared.items():
        if field in draft.fields:
            raise SampleError(f"{draft.origin} has the field {field!r}, which {member.path} gives to all", key=draft.key)
        draft.shared[field] = member.read


def make_windows(drafts: Iterable[Draft], length: int, stride: int, dropped: Counter[str]) -> Iterator[Draft]:
    """`length` samples of a group after each other as one, whose fields are "0.jpg", "1.jpg", …; what they share stands once.

    Each begins `stride` samples after the one before. Groups are not mixed, there is no window that is not whole, and what is in
    none is counted in `dropped`. Raises SpecError for a length or stride below 1.
    """
    windows = Windows(length=length, stride=stride)
    for _, together in groupby(drafts, key=lambda draft: draft.group):
        group = sorted(together, key=lambda draft: draft.key)
        for window, _ in cut_windows(group, windows.length, windows.stride, "its group", dropped):
            yield _window(window)


def _window(drafts: Sequence[Draft]) -> Draft:
    first = drafts[0]
    fields = {f"{number}.{field}": content for number, draft in enumerate(drafts) for field, content in draft.fields.items()}
    return Draft(first.key, fields, f"{first.origin} and {len(drafts) - 1} more", first.group, first.shared)


def require_fields(
    drafts: Iterable[Draft], required: Sequence[str], missing: str, dropped: Counter[str], kept: Counter[str]
) -> Iterator[Draft]:
    """Samples that have all `required` fields, each with alternatives: "jpg;png".

    Of others "fail" raises SampleError, "drop" leaves them out and counts them, and "warn" keeps them and counts them.
    """
    if missing not in ("fail", "warn", "drop"):
        raise SpecError(f"missing is fail, warn or drop, not {missing!r}")
    for draft in drafts:
        has = {*draft.fields, *draft.shared}
        lacks = [one for one in required if has.isdisjoint(name.strip() for name in one.split(";"))]
        if lacks and missing == "fail":
            raise SampleError(f"{draft.origin} has no {', '.join(lacks)}, but {', '.join(sorted(has))}", key=draft.key)
        if lacks:
            (dropped if missing == "drop" else kept)[f"without {', '.join(lacks)}"] += 1
        if not lacks or missing == "warn":
            yield draft


def keep_keys_apart(drafts: Iterable[Draft], duplicates: str, dropped: Counter[str]) -> Iterator[Draft]:
    """Keys that come again: "fail" raises SampleError, "rename" appends -1, -2, …, "drop" keeps the first."""
    if duplicates not in ("fail", "rename", "drop"):
        raise SpecError(f"duplicates is fail, rename or drop, not {duplicates!r}")
    seen: Counter[str] = Counter()
    for draft in drafts:
        key = draft.key
        if key in seen and duplicates == "fail":
            raise SampleError(f"{draft.origin} has a key that another one had before", key=key)
        if key in seen and duplicates == "drop":
            dropped["key that another one had before"] += 1
            continue
        while draft.key in seen:
            seen[key] += 1
            draft.key = f"{key}-{seen[key]}"
        seen[draft.key] += 0
        yield draft
