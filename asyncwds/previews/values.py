"""Decoded values in words: arrays and tensors by shape and range, containers by what they hold. No I/O."""

from __future__ import annotations

from typing import Any

import numpy as np

from asyncwds.codecs import field_loaders
from asyncwds.formatting.texts import plural
from asyncwds.previews.texts import describe_array
from asyncwds.runtime.units import MiB

MAX_UNPACKED = 256 * MiB
_DEEP = 3
_ITEMS = 20
_LONG = 80  # characters

# Those of `decode`, but never a registry that the user has changed, and pickles of plain data alone: looking runs no code.
_LOADERS = {
    **dict.fromkeys(("pkl", "pickle", "pyd"), lambda data: field_loaders.unpickle_loads(data, ())),
    **dict.fromkeys(("pth", "pt"), lambda data: field_loaders.torch_loads(data, (), MAX_UNPACKED)),
    **dict.fromkeys(("ten", "tb", "tenbin"), field_loaders.tenbin_loads),
    **dict.fromkeys(("mp", "msg", "msgpack"), field_loaders.msgpack_loads),
    "cbor": field_loaders.cbor_loads,
    "safetensors": field_loaders.safetensors_loads,
}


def load_value(data: bytes, suffix: str) -> tuple[Any] | None:
    """None for what is no value that is known. Raises what decoding raises, SpecError where an extra is missing."""
    return (_LOADERS[suffix](data),) if suffix in _LOADERS else None


def describe_value(value: Any) -> str:
    """In lines, a container's items below it."""
    return "\n".join(_lines(value, 0))


def _lines(value: Any, depth: int) -> list[str]:
    if isinstance(value, dict):
        items = [(_short(name), each) for name, each in value.items()]
    elif isinstance(value, list | tuple) and any(isinstance(each, dict | list | tuple) or _is_array(each) for each in value):
        items = [(str(number), each) for number, each in enumerate(value)]
    else:
        return [_describe(value)]
    found = [f"{type(value).__name__} of {plural(len(items), 'item')}"]
    if depth == _DEEP:
        return found
    for name, each in items[:_ITEMS]:
        first, *others = _lines(each, depth + 1)
        found += [f"  {name}: {first}", *[f"  {line}" for line in others]]
    return [*found, "  …"] if len(items) > _ITEMS else found


def _describe(value: Any) -> str:
    if isinstance(value, np.ndarray | np.generic):
        return describe_array(np.asarray(value))
    if _is_array(value):  # a tensor, whose numbers NumPy may not have
        return f"{str(value.dtype).removeprefix('torch.')}, {' x '.join(map(str, value.shape)) or 'one number'}"
    if isinstance(value, bytes | bytearray):
        return f"{len(value)} bytes"
    if isinstance(value, list | tuple | set | frozenset):
        return f"{type(value).__name__} of {plural(len(value), 'item')}: {_short(value)}"
    return _short(value)


def _is_array(value: Any) -> bool:
    return hasattr(value, "dtype") and hasattr(value, "shape")


def _short(value: Any) -> str:
    """Never more than a bit of what may be large."""
    if isinstance(value, str | bytes):
        text = repr(value[:_LONG]) + ("…" if len(value) > _LONG else "")
    elif isinstance(value, list | tuple | set | frozenset):
        text = ", ".join(_short(each) for _, each in zip(range(10), value, strict=False)) + (", …" if len(value) > 10 else "")
    elif isinstance(value, dict):
        text = f"dict of {plural(len(value), 'item')}"
    else:
        text = repr(value)
    return text if len(text) <= 2 * _LONG else text[: 2 * _LONG] + "…"
