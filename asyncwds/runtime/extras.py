"""Libraries that come with an extra: imported when they are first needed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from asyncwds.errors import SpecError


def require_extra(module: str, extra: str) -> Any:
    """The module. Where it is not installed, a SpecError that says which extra to install; no stage skips that."""
    try:
        return import_module(module)
    except ImportError as error:
        raise SpecError(f"{module.partition('.')[0]} is needed: pip install 'asyncwds[{extra}]' ({error})") from error
