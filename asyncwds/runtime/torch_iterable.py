"""torch takes our datasets for its `IterableDataset`s, and is not imported for that.

DataLoader, Lightning, Accelerate and the Trainer ask `isinstance(dataset, IterableDataset)`. That is an abstract base class, so
a class of ours can be registered with it: at once where torch has been imported, else when that happens, which is before anybody
can ask. Importing torch takes seconds, and most processes that name a dataset never need it.
"""

from __future__ import annotations

import sys
from abc import ABC
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

TORCH_MODULE = "torch.utils.data.dataset"  # where IterableDataset is defined


class TorchIterable(ABC):  # noqa: B024 - classes are registered with it, and inherit nothing
    """The abstract base of what torch's DataLoader iterates. Classes are registered with it, `@TorchIterable.register`."""


class _ImportWatch(MetaPathFinder):
    """Finds torch's module as the others do, and has `TorchIterable` registered when it has been executed."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname != TORCH_MODULE:
            return None
        others = (finder.find_spec(fullname, path, target) for finder in sys.meta_path if finder is not self)
        spec = next(filter(None, others), None)
        if spec is not None and spec.loader is not None:
            _register_after(spec.loader)
        return spec


def _register_after(loader: Any) -> None:
    execute = loader.exec_module

    def execute_and_register(module: ModuleType) -> None:
        execute(module)
        module.IterableDataset.register(TorchIterable)

    loader.exec_module = execute_and_register


if TORCH_MODULE in sys.modules:  # perhaps another thread is importing it just now: this waits for it
    import_module(TORCH_MODULE).IterableDataset.register(TorchIterable)
else:
    sys.meta_path.insert(0, _ImportWatch())
