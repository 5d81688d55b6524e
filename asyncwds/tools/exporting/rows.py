"""Samples → rows: what tables and JSON lines have of a field."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from asyncwds.errors import SampleError
from asyncwds.tar.raw import RawSample

Binary = Literal["base64", "bytes", "skip"]
Row = dict[str, Any]

_NUMBERS = frozenset({"cls", "cls2", "class", "count", "index", "inx", "id"})
KEY = "__key__"


def row_of(sample: RawSample, binary: Binary, flatten: Sequence[str] = (), url: bool = False) -> Row:
    """The key, and each field: JSON as its values, numbers as such, UTF-8 as text, other bytes as `binary` says.

    flatten   fields of JSON objects whose values are columns of their own, "json.width"

    Raises SampleError for a field that is not what its name says.
    """
    row: Row = {KEY: sample.key}
    if url:
        row["__url__"] = sample.url
    for field, member in sample.fields().items():
        value = _value(sample, field, member.read(), binary)
        if field in flatten:
            row |= _flattened(sample, field, value)
        elif value is not None or binary != "skip":
            row[field] = value
    return row


def _value(sample: RawSample, field: str, data: bytes, binary: Binary) -> Any:
    extension = field.rpartition(".")[2]
    if extension in ("json", "jsn"):
        return _parsed(sample, field, data)
    text = _as_text(data)
    if text is not None and extension in _NUMBERS and _is_whole(text):
        return int(text)
    if text is not None:
        return text
    if binary == "skip":
        return None
    return data if binary == "bytes" else base64.b64encode(data).decode()


def _as_text(data: bytes) -> str | None:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def _is_whole(text: str) -> bool:
    stripped = text.strip().removeprefix("-")
    return stripped.isascii() and stripped.isdigit()


def _parsed(sample: RawSample, field: str, data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise SampleError(f"the field {field} is no JSON: {error}", url=sample.url, offset=sample.offset, key=sample.key) from error


def _flattened(sample: RawSample, field: str, value: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, Mapping):
        raise SampleError(
            f"the field {field} is no JSON object, to be flattened", url=sample.url, offset=sample.offset, key=sample.key
        )
    for name, inner in value.items():
        if isinstance(inner, Mapping):
            yield from _flattened(sample, f"{field}.{name}", inner)
        else:
            yield f"{field}.{name}", inner
