"""Batches on their way to a device: on a stream of their own, so that they come while the device computes."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from asyncwds.errors import SpecError
from asyncwds.pipeline.stages.stacking import Ragged
from asyncwds.runtime.extras import require_extra


class Event(Protocol):
    """A mark in a stream of work."""

    def query(self) -> bool:
        """Whether all before it is done."""


class CopyStream(Protocol):
    """What is asked of a device."""

    def copy(self, value: Any) -> Any:
        """The value there: the copy is begun, on this stream."""

    def mark(self) -> Event:
        """Behind all copies that were begun."""

    def hand_over(self, event: Event, values: list[Any]) -> None:
        """What the consumer's current stream does from here on waits for the event, and keeps the memory of the values."""


class CudaStream:
    """A stream of CUDA, in the order and with the words of torch's documentation."""

    def __init__(self, torch: Any, device: Any) -> None:
        self._cuda = torch.cuda
        self._device = device
        self._stream = torch.cuda.Stream(device)

    def copy(self, value: Any) -> Any:
        with self._cuda.stream(self._stream):
            return value.to(self._device, non_blocking=True)

    def mark(self) -> Event:
        event: Event = self._cuda.Event()
        self._stream.record_event(event)
        return event

    def hand_over(self, event: Event, values: list[Any]) -> None:
        current = self._cuda.current_stream(self._device)
        current.wait_event(event)
        for value in values:
            value.record_stream(current)  # its memory is of the other stream, which would use it again too early


@dataclass(slots=True)
class _Copy:
    source: Any  # kept until it is copied: a slot of shared memory would be written to before
    copied: Any
    event: Event


def copy_ahead(batches: Iterable[Any], stream: CopyStream, ahead: int) -> Iterator[Any]:
    """The batches on the device, of which so many are being copied while one is used."""
    under_way: deque[_Copy] = deque()
    given: deque[_Copy] = deque()
    for batch in batches:
        copied = map_tensors(batch, stream.copy)
        under_way.append(_Copy(batch, copied, stream.mark()))
        del batch, copied
        while given and given[0].event.query():
            given.popleft()
        if len(under_way) > ahead:
            yield _hand_over(under_way, given, stream)
    while under_way:
        yield _hand_over(under_way, given, stream)


def _hand_over(under_way: deque[_Copy], given: deque[_Copy], stream: CopyStream) -> Any:
    copy = under_way.popleft()
    values: list[Any] = []
    map_tensors(copy.copied, values.append)
    stream.hand_over(copy.event, values)
    given.append(_Copy(copy.source, None, copy.event))  # the consumer alone keeps what it is given
    return copy.copied


def map_tensors(value: Any, function: Callable[[Any], Any]) -> Any:
    """The value with the function's results for its tensors and arrays of numbers, in dicts, lists, tuples and `Ragged`."""
    if isinstance(value, dict):
        return {name: map_tensors(each, function) for name, each in value.items()}
    if isinstance(value, Ragged):
        return Ragged(map_tensors(value.values, function), map_tensors(value.offsets, function))
    if isinstance(value, list | tuple):
        found = [map_tensors(each, function) for each in value]
        if isinstance(value, list):
            return found
        return value._make(found) if hasattr(value, "_make") else tuple(found)
    tensor = _as_tensor(value)
    return value if tensor is None else function(tensor)


def _as_tensor(value: Any) -> Any:
    """A tensor, that of an array which torch can have, or None."""
    import numpy as np  # noqa: PLC0415 - heavy

    torch: Any = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        return value
    if torch is None or not isinstance(value, np.ndarray) or value.dtype.kind not in "biufc":
        return None
    return torch.from_numpy(np.require(value, value.dtype.newbyteorder("="), ["C", "W"]))


def open_stream(name: Any) -> CopyStream | None:
    """The stream of a device; None for the CPU. Raises SpecError for a device that is not there."""
    if str(name) == "cpu":
        return None
    torch = require_extra("torch", "torch")
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError) as error:
        raise SpecError(f"to_device: {name!r} is no device: {str(error).splitlines()[0]}") from error
    if device.type == "cpu":
        return None
    if device.type != "cuda" or not torch.cuda.is_available():
        raise SpecError(f"to_device: there is no {device} for torch here; it copies to CUDA devices, and is nothing for 'cpu'")
    return CudaStream(torch, device)
