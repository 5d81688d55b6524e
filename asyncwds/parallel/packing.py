"""A batch as one block of bytes: its arrays, each at an aligned place, and a pickle of all else with references to them.

Pickle's protocol 5 leaves the bytes of arrays out of the pickle, wherever in the batch they stand. So one copy takes them to the
block, and none from it: the arrays that come out are views of it.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Mapping, Sequence
from io import BytesIO
from types import MappingProxyType
from typing import Any

from asyncwds.runtime.batch_memory import LEAST

ALIGNMENT = 64  # [bytes] a cache line, and what vector instructions like best

Place = tuple[int, int]  # offset and length [bytes]
NOTHING: Mapping[int, int] = MappingProxyType({})


class Packed:
    """A batch on its way to a block: what goes where."""

    def __init__(self, item: Any) -> None:
        import numpy as np  # noqa: PLC0415 - heavy

        self._parts: list[Any] = []
        stream = BytesIO()
        _Pickler(stream, protocol=5, buffer_callback=self._parts.append).dump(item)
        self._parts = [np.frombuffer(buffer.raw(), np.uint8) for buffer in self._parts]
        self._parts.append(np.frombuffer(stream.getbuffer(), np.uint8))
        self.nbytes = self.end()

    def parts_in(self, block: Any) -> Mapping[int, int]:
        """Which parts stand in a block already, an array of bytes: their numbers, and where they begin."""
        begin = _address(block)
        offsets = {number: _address(part) - begin for number, part in enumerate(self._parts) if part.nbytes >= LEAST}
        return {number: offset for number, offset in offsets.items() if 0 <= offset < len(block)}

    def end(self, there: Mapping[int, int] = NOTHING, used: int = 0) -> int:
        """[bytes] of a block that it needs."""
        offset, length = self._placed(there, used)[-1]
        return offset + length

    def copy_to(self, block: Any, there: Mapping[int, int] = NOTHING, used: int = 0) -> list[Place]:
        """Copies to a block what is not `there`, behind the first `used` bytes. Where all parts are; the last is the pickle."""
        places = self._placed(there, used)
        for number, (offset, length) in enumerate(places):
            if number not in there:
                block[offset : offset + length] = self._parts[number]
        return places

    def _placed(self, there: Mapping[int, int], offset: int) -> list[Place]:
        found = []
        for number, part in enumerate(self._parts):
            found.append((there.get(number, offset), part.nbytes))
            offset += 0 if number in there else aligned(part.nbytes)
        return found


def aligned(length: int) -> int:
    return -(-length // ALIGNMENT) * ALIGNMENT


def _address(array: Any) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


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
    lazy = tensor.is_conj() or tensor.is_neg() or tensor.is_nested
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
