"""The stage that copies batches to a device ahead of their use."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from asyncwds import checks
from asyncwds.errors import SpecError
from asyncwds.formatting.texts import show_value
from asyncwds.pipeline.context import ResumableStageStream, RunContext, StageStream
from asyncwds.pipeline.lineage import SampleTrace
from asyncwds.pipeline.protocol import JsonValue, ResumableStream, Stream
from asyncwds.pipeline.stage_run import run_alone
from asyncwds.pipeline.stages.device_copies import copy_ahead, open_stream


@dataclass(frozen=True, slots=True)
class ToDevice:
    """Copies the tensors of each batch to a device, `ahead` batches before they are asked for."""

    one_to_one: ClassVar[bool] = True
    device: Any
    ahead: int = 2

    def __post_init__(self) -> None:
        checks.whole_fields(self, 0, "ahead")
        if not isinstance(self.device, str | int) and not hasattr(self.device, "type"):
            raise SpecError(f"to_device: device must be a name or a torch.device, not {show_value(self.device)}")

    def __call__(self, source: Iterable[Any]) -> Iterator[Any]:
        return run_alone(self, source)

    def open(self, source: Stream, context: RunContext) -> ResumableStream:  # noqa: ARG002 - the protocol
        copies = _Copies(self, source)
        return ResumableStageStream(StageStream(copies.items, source, copies.lineage), copies.state)

    def reopen(self, source: Stream, context: RunContext, state: JsonValue) -> ResumableStream:  # noqa: ARG002 - as above
        return self.open(source, context)


class _Copies:
    """The stage in one pass. It remembers where the batches came from that it holds."""

    def __init__(self, stage: ToDevice, source: Stream) -> None:
        self._stage = stage
        self._source = source
        self._held: deque[tuple[SampleTrace, ...]] = deque()
        self._latest: tuple[SampleTrace, ...] = ()

    def items(self) -> Iterator[Any]:
        stream = open_stream(self._stage.device)
        batches = self._noted()
        for batch in batches if stream is None else copy_ahead(batches, stream, self._stage.ahead):
            self._latest = self._held.popleft()
            yield batch

    def _noted(self) -> Iterator[Any]:
        for batch in self._source:
            self._held.append(self._source.lineage())
            yield batch

    def lineage(self) -> tuple[SampleTrace, ...]:
        return self._latest

    def state(self) -> dict[str, Any]:
        return {"held": list(self._held)}


def to_device(device: Any, ahead: int = 2) -> ToDevice:
    """The tensors of batches on a device: `"cuda"`, `"cuda:1"`, a torch.device. On `"cpu"` batches are left as they are.

    Copies go on a stream of their own, `ahead` batches before their use, and your current stream waits for each where it uses
    it; no thread pins memory. Arrays of numbers become tensors. They are found in dicts, lists, tuples and `Ragged`.
    """
    return ToDevice(device, ahead)
