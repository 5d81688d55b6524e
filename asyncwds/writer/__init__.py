"""Shards in the making. What WebDataset's module of this name has is here too: `asyncwds.writer.default_handlers`."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import lazy_loader

_AT_THE_TOP = ("ShardWriter", "TarWriter", "gopen")


_named, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    if name in __all__:
        return _named(name)
    for module in ("asyncwds",) if name in _AT_THE_TOP else ("asyncwds.codecs.encoders", "asyncwds.codecs.field_dumpers"):
        if not name.startswith("_") and hasattr(home := import_module(module), name):
            return getattr(home, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
