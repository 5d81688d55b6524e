"""The table of `gopen_schemes`. What stands in it is written by `openers`, which whoever changes it imports."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

gopen_schemes: dict[str, Callable[..., Any]] = {}
OWN: dict[str, Callable[..., Any]] = {}
"""As it is before anybody changes it."""


def is_own(scheme: str) -> bool:
    """Whether nobody has changed what opens its urls."""
    return gopen_schemes.get(scheme) is OWN.get(scheme)
