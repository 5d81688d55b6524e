"""`install`: other people's `import webdataset` finds asyncwds."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import asyncwds
from asyncwds.runtime import security
from asyncwds.writer.options import IN_PLACE

VERSION = "1.0.2"  # of WebDataset, whose names and meanings these are

MODULES = (
    *("autodecode", "cache", "compat", "extradatasets", "filters", "gopen", "handlers", "mix", "multi", "pipeline"),
    *("pytorch", "shardlists", "tariterators", "tenbin", "utils", "writer"),
)


class WebdatasetModule(ModuleType):
    """What `webdataset` is while it is installed: asyncwds' names, and WebDataset's modules. It keeps what it stands in for."""

    stands_for = "asyncwds"  # `asyncwds.pipeline.dataset_shards` asks
    replaced: dict[str, ModuleType]
    wrote_in_place: str | None
    __all__: list[str]
    __version__: str

    @property
    def pytorch_weights_only(self) -> bool:
        """Here, unlike in WebDataset, setting it has the effect of setting `autodecode.pytorch_weights_only`."""
        return security.weights_only()

    @pytorch_weights_only.setter
    def pytorch_weights_only(self, on: bool) -> None:
        security.allow_only_weights(on)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"module 'webdataset' has no attribute {name!r}")
        # `gopen` is the function, as in WebDataset: `from webdataset.gopen import ...` gives what else is there.
        if name in MODULES and name != "gopen":
            return import_module(f"{__package__}.{name}")
        return getattr(asyncwds, name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *dir(asyncwds), *MODULES})


def install() -> None:
    """Registers these modules as `webdataset` and `webdataset.NAME`, whether WebDataset is installed or not, or imported.

    Code that has imported WebDataset before keeps what it has. It is for this process and those it forks: in one that is
    spawned, as DataLoader's workers are where that is the start method, it has to be called again, best at the top of the
    main module. Called twice it does nothing.

    From then on `TarWriter` and `ShardWriter` write local shards in place, as WebDataset does, unless the environment has
    WDS_IN_PLACE=0.
    """
    if isinstance(sys.modules.get("webdataset"), WebdatasetModule):
        return
    package = WebdatasetModule("webdataset", asyncwds.__doc__)
    package.__spec__ = ModuleSpec("webdataset", None, is_package=True)
    package.__path__ = []
    package.__version__ = VERSION
    package.__all__ = [name for name in dir(asyncwds) if name != "testing"]
    modules = {f"webdataset.{name}": import_module(f"{__package__}.{name}") for name in MODULES}
    package.replaced = _taken_out()
    package.wrote_in_place = os.environ.get(IN_PLACE)
    os.environ.setdefault(IN_PLACE, "1")
    sys.modules.update(modules, webdataset=package)


def uninstall() -> None:
    """Takes `install` back: `import webdataset` finds what it found before, the same modules if they had been imported."""
    package = sys.modules.get("webdataset")
    if isinstance(package, WebdatasetModule):
        _taken_out()
        if package.wrote_in_place is None:
            os.environ.pop(IN_PLACE, None)
        sys.modules.update(package.replaced)


def _taken_out() -> dict[str, ModuleType]:
    names = [name for name in sys.modules if name.partition(".")[0] == "webdataset"]
    return {name: sys.modules.pop(name) for name in names}
