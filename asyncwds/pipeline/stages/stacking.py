"""Arrays and tensors of many samples as one of a batch, in memory that is lent for batches where there is some. `Ragged` has
values of different lengths as one column, without padding: all values behind each other, and where each begins.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from typing import Any

from asyncwds.errors import SampleError
from asyncwds.runtime.batch_memory import LEAST, LENDER, batch_array


def stack(values: list[Any], *, tensors: bool) -> Any:
    """[N, ...] of values of one shape."""
    out = _room(values, (len(values), *values[0].shape), tensors=tensors)
    if tensors:
        return sys.modules["torch"].stack(values, out=out)
    import numpy as np  # noqa: PLC0415 - heavy

    return np.stack(values, out=out)


def concatenate(values: list[Any], *, tensors: bool) -> Any:
    """Values that differ in their first axis only, behind each other."""
    out = _room(values, (sum(len(value) for value in values), *values[0].shape[1:]), tensors=tensors)
    if tensors:
        return sys.modules["torch"].cat(values, out=out)
    import numpy as np  # noqa: PLC0415 - heavy

    return np.concatenate(values, out=out)


def _room(values: list[Any], shape: tuple[int, ...], *, tensors: bool) -> Any:
    """An array or tensor to write to; None where nobody lends any, or where numpy or torch must find out of what kind it is."""
    if LENDER.get() is None:
        return None
    return _room_for_tensors(values, shape) if tensors else _room_for_arrays(values, shape)


def _room_for_arrays(values: list[Any], shape: tuple[int, ...]) -> Any:
    import numpy as np  # noqa: PLC0415 - heavy

    dtype = values[0].dtype
    if dtype.kind not in "biufc" or not dtype.isnative:
        return None
    # What lies in another order of axes keeps that when numpy makes the array.
    alike = all(type(value) is np.ndarray and value.dtype == dtype and value.flags.c_contiguous for value in values)
    return batch_array(shape, dtype) if alike else None


def _room_for_tensors(values: list[Any], shape: tuple[int, ...]) -> Any:
    torch = sys.modules["torch"]
    dtype = values[0].dtype
    if not all(type(value) is torch.Tensor and value.dtype == dtype and _is_plain(value, torch) for value in values):
        return None
    nbytes = values[0].element_size() * torch.Size(shape).numel()
    return torch.from_numpy(batch_array(nbytes, "uint8")).view(dtype).view(shape) if nbytes >= LEAST else None


def _is_plain(tensor: Any, torch: Any) -> bool:
    """Whether `out=` takes what is made of it, to the same end as without."""
    if tensor.layout is not torch.strided or tensor.device.type != "cpu" or tensor.is_quantized or tensor.requires_grad:
        return False
    return tensor.is_contiguous() and not tensor.is_conj() and not tensor.is_neg()


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


def pad(field: object, arrays: list[Any], pad_value: float, length: int | None, *, tensors: bool) -> Any:
    """Arrays (or tensors) of one number of axes, each filled up to the largest, the first axis to a given length: [N, ...]."""
    axes = max(len(array.shape) for array in arrays)
    # `[]` stands for no rows, of whatever shape.
    arrays = [array.reshape((0,) * axes) if 0 in array.shape else array for array in arrays]
    if any(len(array.shape) != axes for array in arrays):
        raise SampleError(f"field {field!r} has values of different numbers of axes in one batch")
    shape = [len(arrays), *[max(sizes) for sizes in zip(*[array.shape for array in arrays], strict=True)]]
    if length is not None:
        if axes == 0 or shape[1] > length:
            raise SampleError(f"field {field!r} has values of length {shape[1] if axes else None}, and pad_to is {length}")
        shape[1] = length
    filled = (_full_tensor if tensors else _full_array)(tuple(shape), arrays, pad_value)
    if filled is None:
        raise SampleError(f"field {field!r} cannot be padded with {pad_value!r}: its values are of type {arrays[0].dtype}")
    for row, array in zip(filled, arrays, strict=True):
        row[tuple([slice(size) for size in array.shape])] = array
    return filled


def _full_array(shape: tuple[int, ...], arrays: list[Any], value: float) -> Any:
    import numpy as np  # noqa: PLC0415 - heavy

    dtype = np.result_type(*arrays)
    with np.errstate(invalid="ignore"):
        one = np.array(value).astype(dtype)
    if not _holds(one.item(), value):
        return None
    filled = batch_array(shape, dtype)
    filled[...] = one
    return filled


def _full_tensor(shape: tuple[int, ...], arrays: list[Any], value: float) -> Any:
    import torch  # noqa: PLC0415 - heavy

    dtype = reduce(torch.promote_types, [array.dtype for array in arrays])
    one = torch.tensor(value).to(dtype)
    return torch.full(shape, one.item(), dtype=dtype, device=arrays[0].device) if _holds(one.item(), value) else None


def _holds(kept: Any, value: float) -> bool:
    return isinstance(kept, (float, complex)) or bool(kept == value)
