"""Shards in the making. What WebDataset's module of this name has is here too: `asyncwds.writer.default_handlers`."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_AT_THE_TOP = ("ShardWriter", "TarWriter", "gopen")


def __getattr__(name: str) -> Any:
    home = import_module("asyncwds" if name in _AT_THE_TOP else "asyncwds.codecs.encoders")
    if name.startswith("_") or not hasattr(home, name):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(home, name)
