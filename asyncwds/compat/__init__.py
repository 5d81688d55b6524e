"""WebDataset's module names: `asyncwds.compat.filters` has what `webdataset.filters` has, and so on.

    import asyncwds.compat
    asyncwds.compat.install()     # from here on, `import webdataset` finds asyncwds

For code that you don't own, such as open_clip's data module or timm's reader. Your own has it simpler: `import asyncwds as wds`.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from asyncwds.compat.installing import MODULES, install, uninstall

__all__ = ["MODULES", "install", "uninstall"]


def __getattr__(name: str) -> Any:
    """WebDataset's modules; and `asyncwds.compat.WebDataset`, as WebDataset has a module `compat` with its datasets."""
    if name in MODULES or find_spec(f"{__name__}.{name}") is not None:
        return import_module(f"{__name__}.{name}")
    datasets = import_module("asyncwds.compat.compat")
    if name not in datasets.__all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(datasets, name)
