"""A stand-in for torchvision, from which MosaicML streaming derives a class: it may have no build for the torch that is there."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from types import ModuleType, SimpleNamespace

import transformers.utils.import_utils  # noqa: F401 - it looks for torchvision by itself


def stand_in_for_torchvision() -> None:
    """Nothing of it is used."""
    if "torchvision" not in sys.modules and find_spec("torchvision") is None:
        for name in ("torchvision", "torchvision.datasets", "torchvision.transforms", "torchvision.transforms.functional"):
            sys.modules[name] = ModuleType(name)
        vars(sys.modules["torchvision.datasets"]).update(VisionDataset=object)
        vars(sys.modules["torchvision.transforms.functional"]).update(to_tensor=SimpleNamespace)
