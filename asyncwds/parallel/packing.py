"""A batch as one block of bytes: its arrays, each at an aligned place, and a pickle of all else with references to them.

Pickle's protocol 5 leaves the bytes of arrays out of the pickle, wherever in the batch they stand. So one copy takes them to the
block, and none from it: the arrays that come out are views of it.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Sequence
from io import BytesIO
from typing import Any

ALIGNMENT = 64  # [bytes] a cache line, and what vector instructions like best

Place = tuple[int, int]  # offset and length [bytes]


class Packed:
    """A batch on its way to a block: what goes where."""

    def __init__(self, item: Any) -> None:
        self._parts: list[Any] = []
        stream = BytesIO()
        _Pickler(stream, protocol=5, buffer_callback=self._parts.append).dump(item)
        self._parts = [buffer.raw() for buffer in self._parts]
        self._parts.append(stream.getbuffer())
        self.places = placed([part.nbytes for part in self._parts])
        offset, length = self.places[-1]
        self.nbytes = offset + length

    def write(self, block: Any) -> None:
        """Copies it to a block, an array of bytes."""
        import numpy as np  # noqa: PLC0415 - heavy

        for part, (offset, length) in zip(self._parts, self.places, strict=True):
            block[offset : offset + length] = np.frombuffer(part, np.uint8)


def placed(lengths: Sequence[int]) -> list[Place]:
    """Where parts of these lengths stand in one block."""
    found, offset = [], 0
    for length in lengths:
        found.append((offset, length))
        offset += -(-length // ALIGNMENT) * ALIGNMENT
    return found


def unpack(block: Any, places: Sequence[Place]) -> Any:
    """The batch in an array of bytes; its arrays are views of that."""
    *arrays, pickled = [block[offset : offset + length] for offset, length in places]
    return pickle.loads(pickled, buffers=arrays)  # noqa: S301 - from our own process


class _Pickler(pickle.Pickler):
    """Takes care that arrays and tensors keep out of the pickle: those in any order of axes, and torch's, which would not."""

    def reducer_override(self, obj: Any) -> Any:
        import numpy as np  # noqa: PLC0415 - heavy

        if type(obj) is np.ndarray:
            return NotImplemented if obj.flags.forc or obj.dtype.hasobject else _reduce_strided(obj)
        torch = sys.modules.get("torch")
        if torch is not None and type(obj) is torch.Tensor and is_plain(obj, torch):
            return _reduce_tensor(obj, torch)
        return NotImplemented


def _reduce_strided(array: Any) -> Any:
    """In the order in which it lies in memory, such as HWC for an image that is shown as CHW; else as a copy in its own order."""
    import numpy as np  # noqa: PLC0415 - heavy

    order = np.argsort([-stride for stride in array.strides], kind="stable")
    laid_out = array.transpose(order)
    if not laid_out.flags.c_contiguous:
        return np.ascontiguousarray(array).__reduce_ex__(5)
    return np.transpose, (laid_out, tuple(np.argsort(order).tolist()))


def is_plain(tensor: Any, torch: Any) -> bool:
    """Whether a tensor is numbers in this machine's memory, which numpy can look at."""
    lazy = tensor.is_conj() or tensor.is_neg()
    return tensor.layout is torch.strided and tensor.device.type == "cpu" and not tensor.is_quantized and not lazy


def _reduce_tensor(tensor: Any, torch: Any) -> Any:
    plain = tensor.detach()
    try:
        return make_tensor, (plain.numpy(), None, tensor.requires_grad)
    except TypeError:  # numpy has no bfloat16
        same_size = {1: torch.uint8, 2: torch.int16, 4: torch.int32}[tensor.element_size()]
        return make_tensor, (plain.view(same_size).numpy(), tensor.dtype, tensor.requires_grad)


def make_tensor(array: Any, dtype: Any, requires_grad: bool) -> Any:
    """A tensor that is a view of the array."""
    import torch  # noqa: PLC0415 - heavy

    tensor = torch.from_numpy(array)
    return (tensor if dtype is None else tensor.view(dtype)).requires_grad_(requires_grad)
