"""Pipelines with the fluent methods that begin with something given."""

from __future__ import annotations

from typing import Any

from asyncwds.errors import SpecError
from asyncwds.pipeline.datapipeline import DataPipeline
from asyncwds.pipeline.fluid import FluidInterface
from asyncwds.runtime.extras import require_extra


class FluidWrapper(DataPipeline, FluidInterface):
    """A pipeline that begins with `initial` (a dataset, a list, a DataLoader), with the fluent methods."""

    def __init__(self, initial: Any, *, seed: int | None = None) -> None:
        super().__init__(seed=seed)
        self.append(initial)


class WebLoader(DataPipeline, FluidInterface):
    """A torch DataLoader with the fluent methods, whose stages run in the process that iterates; it takes DataLoader's arguments.

    `with_epoch(n)` counts what the loader gives: batches, where the dataset makes batches. Raises SpecError where torch is not
    installed.
    """

    # It is no dataset of a StatefulDataLoader. Lightning would ask it for its state, having fetched a batch that it has not used.
    state_dict = load_state_dict = None  # type: ignore[assignment]

    def __init__(self, *args: Any, **options: Any) -> None:
        loader = require_extra("torch.utils.data", "torch").DataLoader
        try:
            head = loader(*args, **options)
        except (TypeError, ValueError) as error:
            raise SpecError(f"WebLoader, whose arguments are torch's DataLoader's: {error}") from error
        super().__init__(head)
