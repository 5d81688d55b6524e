"""The table of `gopen_schemes`. What stands in it is written by `openers`, which whoever changes it imports."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from asyncwds.runtime.security import why_refused
from asyncwds.shards.urls import local_path, rewritten

gopen_schemes: dict[str, Callable[..., Any]] = {}
OWN: dict[str, Callable[..., Any]] = {}
"""As it is before anybody changes it."""


def is_own(scheme: str) -> bool:
    """Whether nobody has changed what opens its urls."""
    return gopen_schemes.get(scheme) is OWN.get(scheme)


def path_read_in_place(url: str) -> str | None:
    """The path of a regular file, which need not be fetched; None for what is elsewhere, refused, or opened by users."""
    path = local_path(rewritten(url))
    if path is None or why_refused("file") or not is_own("file") or not os.path.isfile(path):  # noqa: PTH113 - a Path would normalise
        return None
    return path
