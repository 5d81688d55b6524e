"""asyncwds: WebDataset shards from disks, web servers and buckets, with many requests in flight.

    import asyncwds as wds

    ds = wds.WebDataset("https://host/train-{000..099}.tar").shuffle(1000).decode("torchrgb").to_tuple("jpg;png", "json")

The same object serves `for`, `async for` and torch's DataLoader. `open_samples` is the engine on your own event loop.

It opens no socket, starts no thread and imports no heavy library before it is used: its names are resolved on first use. torch
takes a `WebDataset` for an IterableDataset, whenever it is imported; without torch it works the same.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

import lazy_loader

__version__ = "0.1.0"

if find_spec("fcntl") is None:  # locks of caches and writers, and pipes, are those of Unix
    raise ImportError("asyncwds runs on Linux and macOS; on Windows it needs the Windows Subsystem for Linux")

# The names stand in `__init__.pyi`, once, for type checkers and for this.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


class _Package(ModuleType):
    """This module, so that its flag acts when it is set."""

    @property
    def pytorch_weights_only(self) -> bool:
        """As `autodecode.pytorch_weights_only`: whether `.pth` fields may hold tensors and plain data only."""
        return bool(import_module("asyncwds.runtime.security").weights_only())

    @pytorch_weights_only.setter
    def pytorch_weights_only(self, on: bool) -> None:
        import_module("asyncwds.runtime.security").allow_only_weights(bool(on))


sys.modules[__name__].__class__ = _Package
