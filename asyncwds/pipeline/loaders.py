"""Pipelines with the fluent methods that begin with something given."""

from __future__ import annotations

from typing import Any

from asyncwds.errors import SpecError
from asyncwds.pipeline.datapipeline import DataPipeline
from asyncwds.pipeline.fluid import FluidInterface


class FluidWrapper(DataPipeline, FluidInterface):
    """A pipeline that begins with `initial` (a dataset, a list, a DataLoader), with the fluent methods."""

    def __init__(self, initial: Any, *, seed: int | None = None) -> None:
        super().__init__(seed=seed)
        self.append(initial)


class WebLoader(DataPipeline, FluidInterface):
    """Stands where torch is not installed in place of the one in `asyncwds.torch`, and raises SpecError."""

    def __init__(self, *_: Any, **__: Any) -> None:
        raise SpecError("WebLoader is torch's DataLoader, and torch is not installed: pip install 'asyncwds[torch]'")
