"""Values of different lengths as one column of a batch, without padding: all values behind each other, and where each begins."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from asyncwds.errors import SampleError
from asyncwds.pipeline.stages.stacking import concatenate


@dataclass(frozen=True, slots=True, eq=False)
class Ragged:
    """`ragged[i]` is `values[offsets[i]:offsets[i + 1]]`, a view. Both are arrays, or torch tensors; `offsets` is int64 [N + 1].

    It is what attention over sequences of different lengths takes (`cu_seqlens`), and torch's `nested_tensor_from_jagged`.
    """

    values: Any
    offsets: Any

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> Any:
        place = range(len(self))[index]
        return self.values[int(self.offsets[place]) : int(self.offsets[place + 1])]

    def __iter__(self) -> Iterator[Any]:
        return map(self.__getitem__, range(len(self)))


def join_ragged(field: object, arrays: list[Any], *, tensors: bool) -> Ragged:
    """Arrays (or tensors) that differ in their first axis only. Raises SampleError for others."""
    import numpy as np  # noqa: PLC0415 - heavy

    rows = {tuple(array.shape[1:]) for array in arrays if 0 not in array.shape}  # `[]` stands for no rows, of whatever shape
    if len(rows) > 1 or any(len(array.shape) == 0 for array in arrays):
        shapes = ", ".join(map(str, sorted({tuple(array.shape) for array in arrays})))
        raise SampleError(
            f"field {field!r} has values that differ in more than their first axis: {shapes}; ragged='pad' takes them"
        )
    (row,) = rows or {()}
    parts = [array.reshape(0, *row) if 0 in array.shape else array for array in arrays]
    lengths = [0, *[len(part) for part in parts]]
    joined = concatenate(parts, tensors=tensors)
    if not tensors:
        return Ragged(joined, np.cumsum(lengths, dtype=np.int64))
    torch = sys.modules["torch"]
    return Ragged(joined, torch.tensor(lengths, dtype=torch.int64).cumsum(0))
