"""A pipeline's stages for one sample at a time, as random access needs them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from asyncwds.errors import SpecError
from asyncwds.pipeline.adapt import adapt
from asyncwds.pipeline.clock import stage_name
from asyncwds.pipeline.context import RunContext
from asyncwds.pipeline.protocol import Stream
from asyncwds.pipeline.streams import stream_over
from asyncwds.samples import PADDING, Sample


@dataclass(frozen=True)
class ItemByItem:
    """What the stages make of a sample: each is opened for it alone. `stages` stand behind the first of a pipeline.

    `marks_padding`: samples say whether they are padding, which they are not.
    """

    stages: Sequence[Any]
    seed: int
    marks_padding: bool = False

    def __call__(self, sample: Sample) -> Any:
        """Raises SpecError where they make no item of it, or several; and what they raise."""
        if self.marks_padding:
            sample[PADDING] = False
        if not self.stages:
            return sample
        context = RunContext(self.seed)
        stream: Stream = stream_over([sample], context.resources)
        for number, stage in enumerate(self.stages):
            stream = adapt(stage).open(stream, context.of_stage(stage_name(stage), self.seed + number, same_for_all=False))
        try:
            items = list(stream)
        finally:
            stream.close()
        if len(items) != 1:
            message = f"random access needs one item for each sample, and the stages make {len(items)} of this one"
            raise SpecError(message, url=sample["__url__"], key=sample["__key__"])
        return items[0]
