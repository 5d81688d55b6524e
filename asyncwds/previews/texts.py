"""What is read of a field: text, JSON in lines, the shape of an array, bytes in hexadecimal. No I/O."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from asyncwds.codecs.field_loaders import npz_loads
from asyncwds.codecs.images import decode_image
from asyncwds.previews.kinds import FieldKind
from asyncwds.previews.pictures import MAX_UNPACKED, only_array, unpacked

if TYPE_CHECKING:
    from numpy.typing import NDArray

_HEX = 256  # [bytes]
_LINE = 16


class Text(NamedTuple):
    """`form` is what was found; `cut` whether there is more."""

    text: str
    form: str
    cut: bool


def read_text(data: bytes, kind: FieldKind, most: int, *, whole: bool) -> Text:
    """Of a field, or of its beginning unless `whole`; at most so many characters."""
    if whole and kind.compression is not None:
        data = unpacked(data, kind)
    if whole and kind.kind in ("array", "image", "raster"):
        return Text(_describe(data, kind), "array", cut=False)
    if kind.kind == "json" and whole and (pretty := _pretty(data)) is not None:
        return Text(pretty[:most], "json", len(pretty) > most)
    if kind.kind in ("json", "text") or _is_text(data[:_HEX]):
        text = data.decode("utf-8", "replace")
        return Text(text[:most], "text", len(text) > most or not whole)
    return Text(_hex(data[:_HEX]), "hex", len(data) > _HEX or not whole)


def _pretty(data: bytes) -> str | None:
    """With all digits of its numbers, which browsers would round."""
    try:
        return json.dumps(json.loads(data), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return None


def _is_text(beginning: bytes) -> bool:
    text = beginning.decode("utf-8", "replace").removesuffix("\ufffd")
    return all(char.isprintable() or char in "\n\r\t" for char in text) and "\ufffd" not in text


def _hex(data: bytes) -> str:
    lines = [data[start : start + _LINE] for start in range(0, len(data), _LINE)]
    return "\n".join([f"{_LINE * number:04x}  {line.hex(' '):47}  {_plain(line)}" for number, line in enumerate(lines)])


def _plain(line: bytes) -> str:
    return "".join([chr(byte) if 32 <= byte < 127 else "." for byte in line])


def _describe(data: bytes, kind: FieldKind) -> str:
    if kind.kind != "array":
        return describe_array(np.asarray(decode_image(data, "raw")))
    if kind.suffix == "npz":
        return "\n".join([f"{name}: {describe_array(array)}" for name, array in npz_loads(data, MAX_UNPACKED).items()])
    return describe_array(only_array(data, kind.suffix))


def describe_array(array: NDArray[Any]) -> str:
    shape = " x ".join(map(str, array.shape)) or "one number"
    if array.dtype.kind not in "biuf" or not array.size:
        return f"{array.dtype}, {shape}"
    known = array[np.isfinite(array)] if array.dtype.kind == "f" else array
    if not known.size:
        return f"{array.dtype}, {shape}, no numbers"
    return f"{array.dtype}, {shape}, {known.min():g} to {known.max():g}, mean {known.mean(dtype=np.float64):g}"
