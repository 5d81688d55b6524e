"""WebDataset's module names: `asyncwds.compat.filters` has what `webdataset.filters` has, and so on.

    import asyncwds.compat
    asyncwds.compat.install()     # from here on, `import webdataset` finds asyncwds

For code that you don't own, such as open_clip's data module or timm's reader. Your own has it simpler: `import asyncwds as wds`.
"""

from asyncwds.compat.installing import MODULES, install, uninstall

__all__ = ["MODULES", "install", "uninstall"]
