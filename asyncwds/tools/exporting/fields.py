"""Fields of samples as files in a folder, and as rows: what tables and JSON lines have of a field."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from asyncwds.errors import SampleError
from asyncwds.storage.local.readiness import translate_os_error
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


def write_fields(sample: RawSample, folder: Path, force: bool) -> int:
    """Writes KEY.FIELD for each, and returns how many.

    Raises SampleError for names that lead out of the folder, or are taken, and FetchError where a file cannot be written: it is
    not there then.
    """
    for field, member in sample.fields().items():
        path = _inside(sample, folder, f"{sample.key}.{field}")
        data = member.read()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb" if force else "xb") as file, _whole_or_not(path):
                file.write(data)
                file.flush()
        except FileExistsError as error:
            raise SampleError(f"there is a file {path} already", url=sample.url, key=sample.key) from error
        except OSError as error:
            raise translate_os_error(error, str(path)) from error
    return len(sample.fields())


@contextmanager
def _whole_or_not(path: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _inside(sample: RawSample, folder: Path, name: str) -> Path:
    parts = name.split("/")
    if name.startswith("/") or ".." in parts or "\0" in name:
        raise SampleError(f"{name!r} is no path within a folder", url=sample.url, key=sample.key)
    path = folder.joinpath(*parts)
    # A link that stands in the folder may lead elsewhere.
    if not path.parent.resolve().is_relative_to(folder.resolve()):
        raise SampleError(f"{name!r} leads out of the folder by a link", url=sample.url, key=sample.key)
    return path
