"""Module attributes that act when they are set, as WebDataset's flags do: `utils.enforce_security = True`."""

from __future__ import annotations

import sys
from types import ModuleType


def settable(module: str, **flags: property) -> None:
    """Makes properties of attributes of a module, for `module.flag` and `from module import flag` alike."""
    sys.modules[module].__class__ = type("ModuleWithFlags", (ModuleType,), dict(flags))
