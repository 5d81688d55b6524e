"""Schemes of other packages: their entry points in the group `asyncwds.schemes`, looked for when a scheme is not known otherwise.

[project.entry-points."asyncwds.schemes"]
foo = "foo_store:SCHEME"
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING

from asyncwds.errors import SpecError
from asyncwds.runtime.security import is_allowed_by_name, secure_mode
from asyncwds.storage.scheme import Scheme

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "asyncwds.schemes"


def scheme_named(name: str) -> Scheme | None:
    """The record that a package has for a scheme. In secure mode only if WDS_SCHEMES names it.

    Raises SpecError where the package cannot be imported, or has something else there.
    """
    if secure_mode() and not is_allowed_by_name(name):
        return None
    entry = _entries(tuple(sys.path)).get(name)
    return None if entry is None else _loaded(entry)


def schemes() -> Iterator[Scheme]:
    """The records of all packages that can be loaded: for settings that the program itself gives, also in secure mode."""
    for entry in _entries(tuple(sys.path)).values():
        with suppress(SpecError):  # somebody else's, or else there would be no such settings
            yield _loaded(entry)


@cache
def _entries(path: tuple[str, ...]) -> Mapping[str, EntryPoint]:
    """By scheme. Reading what is installed takes milliseconds; `path` is where modules were looked for then."""
    from importlib.metadata import entry_points  # noqa: PLC0415 - 20 ms that most do without

    del path
    return {entry.name.lower(): entry for entry in entry_points(group=GROUP)}


@cache
def _loaded(entry: EntryPoint) -> Scheme:
    package = f"the package {entry.dist.name}" if entry.dist else "a package"
    where = f"{entry.name}: urls are those of {package} ({entry.value})"
    try:
        found = entry.load()
    except Exception as error:
        raise SpecError(f"{where}, which cannot be loaded: {type(error).__name__}: {error}") from error
    if not isinstance(found, Scheme) or entry.name.lower() not in found.names:
        raise SpecError(f"{where}, and that is no asyncwds.Scheme for them")
    return found
