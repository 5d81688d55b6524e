"""Paths of files → keys and fields, groups and classes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from posixpath import basename, dirname

from asyncwds.errors import SpecError


@dataclass(frozen=True)
class Naming:
    """How a path becomes a key and a field.

    key_from   "path": the path up to the first dot of its last component, as webdataset reads names; "stem": that component
               alone; "re:PATTERN": its group `key`, or the first one, and for the field its group `field`, if it has one
    dots       "first": the first dot ends the key; "last": the last one, and those in the key become underscores, since no reader
               of tar shards takes them for a part of it
    """

    key_from: str = "path"
    dots: str = "first"

    def __post_init__(self) -> None:
        if self.key_from not in ("path", "stem") and not self.key_from.startswith("re:"):
            raise SpecError(f"key_from is path, stem or re:PATTERN, not {self.key_from!r}")
        if self.dots not in ("first", "last"):
            raise SpecError(f"dots is first or last, not {self.dots!r}")
        if self.key_from.startswith("re:") and not compile_pattern("key_from", self.key_from).groups:
            raise SpecError(f"the pattern of key_from needs a group, which is the key: {self.key_from}")

    def split(self, path: str) -> tuple[str, str] | None:
        """Key and field, None where there are none."""
        name = basename(path)
        dot = name.find(".", 1) if self.dots == "first" else name.rfind(".")
        field = name[dot + 1 :].lower() if dot > 0 else ""
        if self.key_from.startswith("re:"):
            return self._matched(path, field)
        stem = name[:dot]
        key = stem if self.key_from == "stem" else path[: len(path) - len(name)] + stem
        return (self._as_key(key), field) if dot > 0 and field else None

    def _matched(self, path: str, field: str) -> tuple[str, str] | None:
        match = compile_pattern("key_from", self.key_from).search(path)
        if match is None:
            return None
        groups = match.groupdict()
        key = groups["key"] if "key" in groups else match[1]
        field = (groups.get("field") or field).lower()
        return (self._as_key(key), field) if key and field else None

    def _as_key(self, key: str) -> str:
        return key.replace(".", "_") if self.dots == "last" else key


def part_of(rule: str | None, path: str, name: str) -> str:
    """What a rule takes from a path: "dirname", "parent", or the first group of "re:PATTERN"; "" where there is nothing.

    Raises SpecError for another rule; `name` is the argument's.
    """
    if rule is None:
        return ""
    if rule == "dirname":
        return dirname(path)
    if rule == "parent":
        return basename(dirname(path))
    if not rule.startswith("re:"):
        raise SpecError(f"{name} is dirname, parent or re:PATTERN, not {rule!r}")
    match = compile_pattern(name, rule).search(path)
    return "" if match is None else (match[1] if match.re.groups else match[0]) or ""


def compile_pattern(name: str, rule: str) -> re.Pattern[str]:
    """Of "re:PATTERN"; `re` keeps those that it compiled."""
    try:
        return re.compile(rule.removeprefix("re:"))
    except re.error as error:
        raise SpecError(f"{name}: {rule!r} is no regular expression: {error}") from error
