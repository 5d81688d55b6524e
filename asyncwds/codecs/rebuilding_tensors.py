"""torch's part of `rebuilding`: dense tensors, parameters, dtypes and devices. The bytes of a tensor go through `weights_only`."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from asyncwds.codecs.undecodable import refuse
from asyncwds.runtime.extras import require_extra


def find(module: str, name: str) -> Any:
    found = _FUNCTIONS.get((module, name))
    if found is None and module == "torch" and name.isidentifier():
        torch = require_extra("torch", "torch")
        found = getattr(torch, name, None)
        if name in ("Size", "device"):
            return _size if name == "Size" else _device
        if not isinstance(found, (torch.dtype, torch.layout, torch.memory_format)):
            return None
    return found


def _size(*args: Any) -> Any:
    return require_extra("torch", "torch").Size(*args)


def _device(*args: Any) -> Any:
    return require_extra("torch", "torch").device(*args)


def _storage(data: bytes) -> Any:
    """torch itself unpickles anything here."""
    torch = require_extra("torch", "torch")
    storage = torch.load(BytesIO(data), map_location="cpu", weights_only=True)
    if not isinstance(storage, torch.TypedStorage):
        refuse("torch.storage of something else")
    return storage


def _tensor(storage: Any, offset: int, size: Any, stride: Any, *options: Any) -> Any:
    """As torch writes it: then whether it has gradients, hooks that would be called later, of which none are taken, and bits."""
    requires_grad, _, bits = (*options, {})[:3]
    raw = storage._untyped_storage  # noqa: SLF001 - without a warning; `_storage` made it
    # torch would make the storage larger.
    last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
    if min((offset, *size, *stride)) < 0 or (0 not in size and (last + 1) * storage.dtype.itemsize > raw.nbytes()):
        raise ValueError(f"a tensor of size {tuple(size)} does not fit {raw.nbytes()} bytes")
    tensor = require_extra("torch", "torch").empty(0, dtype=storage.dtype).set_(raw, offset, size, stride)
    tensor = tensor.conj() if bits.get("conj") else tensor
    tensor = -tensor if bits.get("neg") else tensor
    return tensor.requires_grad_(bool(requires_grad))


def _parameter(data: Any, requires_grad: bool, _hooks: Any) -> Any:
    return require_extra("torch", "torch").nn.Parameter(data, bool(requires_grad))


_FUNCTIONS = {
    ("torch.storage", "_load_from_bytes"): _storage,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
}
