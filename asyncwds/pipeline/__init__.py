"""What users compose. What WebDataset's module of this name has is here too: `asyncwds.pipeline.DataPipeline`."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def __getattr__(name: str) -> Any:
    if name not in ("DataPipeline", "PipelineStage", "add_length_method"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("asyncwds"), name)
