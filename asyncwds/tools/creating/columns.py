"""Columns of a row → fields of a sample."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any

from asyncwds.codecs.audio import AUDIO_EXTENSIONS
from asyncwds.codecs.encoders import make_handlers
from asyncwds.codecs.images import IMAGE_EXTENSIONS
from asyncwds.codecs.video import VIDEO_EXTENSIONS
from asyncwds.errors import SampleError, SpecError
from asyncwds.tools.creating.draft import Content
from asyncwds.tools.creating.members import read_source

# "image" has an encoder, and no decoder.
KNOWN = frozenset({*make_handlers(), *IMAGE_EXTENSIONS, *AUDIO_EXTENSIONS, *VIDEO_EXTENSIONS}) - {"image", "img"}
NUMBERS = frozenset({"cls", "cls2", "class", "count", "index", "inx", "id"})
_MAGIC = {b"fLaC": "flac", b"ID3": "mp3", b"OggS": "ogg", b"\x93NUMPY": "npy", b"%PDF": "pdf", b"PK\x03\x04": "zip"}


def fields_of(row: Mapping[str, Any], fields: Mapping[str, str], folder: Path) -> dict[str, Content]:
    """`fields` maps a field to its column, "@COLUMN" to the file that the column names, from `folder` on.

    Without `fields` each column becomes one: a name that is an extension is kept, others get that of their values. A column
    "@EXTENSION" names files. What is None is left out.
    """
    if not fields:
        return dict(_own_field(column, value, folder) for column, value in row.items() if value is not None)
    found: dict[str, Content] = {}
    for field, column in fields.items():
        value = _column(row, column.removeprefix("@"))
        if value is not None:
            found[field] = _file(value, folder) if column.startswith("@") else _content(value)[0]
    return found


def _column(row: Mapping[str, Any], column: str) -> Any:
    if column not in row:
        raise SpecError(f"there is no column {column!r}, but {', '.join(row)}")
    return row[column]


def select_columns(row: Mapping[str, Any], columns: Sequence[str]) -> Mapping[str, Any]:
    return {column: _column(row, column) for column in columns} if columns else row


def _own_field(column: str, value: Any, folder: Path) -> tuple[str, Content]:
    if column.startswith("@"):
        return column[1:], _file(value, folder)
    content, extension = _content(value)
    kept = column.lower().rpartition(".")[2]
    if kept in NUMBERS and isinstance(content, str) and not _is_whole(content):
        raise SampleError(
            f"the column {column} is called like a field of whole numbers, and has {content[:80]!r}: --field {column}.txt={column} "
            f"(fields={{'{column}.txt': '{column}'}}) makes text of it, and names all fields"
        )
    return (column if kept in KNOWN else f"{column}.{extension}"), content


def _is_whole(text: str) -> bool:
    try:
        int(text)
    except ValueError:
        return False
    return True


def _file(name: Any, folder: Path) -> Content:
    if not isinstance(name, str) or not name:
        raise SampleError(f"a file's name is text, not {name!r}")
    is_url = ":" in name.partition("/")[0]
    return partial(read_source, name if is_url else str(folder / name))


def _content(value: Any) -> tuple[Content, str]:
    """What is written, and which extension it has."""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value), guess_extension(bytes(value))
    if isinstance(value, str):
        return value, "txt"
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value).encode(), "cls"
    if isinstance(value, dict) and value.keys() == {"bytes", "path"}:  # an image or a recording of Hugging Face's
        data = value["bytes"] if value["bytes"] is not None else Path(value["path"]).read_bytes()
        suffix = PurePosixPath(value["path"] or "").suffix
        return data, suffix[1:].lower() or guess_extension(data)
    try:
        return json.dumps(value, ensure_ascii=False, default=str).encode("utf-8", "surrogatepass"), "json"
    except (TypeError, ValueError) as error:
        raise SampleError(f"a {type(value).__name__} is neither bytes nor text nor JSON: {error}") from error


def guess_extension(data: bytes) -> str:
    """By how the bytes begin; "bin" where that says nothing."""
    for magic, extension in _MAGIC.items():
        if data.startswith(magic):
            return extension
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        return "wav"
    if data[4:8] == b"ftyp" and data[8:12] not in (b"avif", b"heic"):
        return "mp4"
    return _image_extension(data) or "bin"


def _image_extension(data: bytes) -> str | None:
    from PIL import Image, UnidentifiedImageError  # noqa: PLC0415 - heavy

    try:
        with Image.open(BytesIO(data)) as image:
            found = (image.format or "").lower()
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    return {"jpeg": "jpg", "mpo": "jpg"}.get(found, found) or None
