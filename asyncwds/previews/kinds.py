"""What a field is shown as, and the content type it is sent with, by its suffix. No I/O."""

from __future__ import annotations

from typing import Literal, NamedTuple

from asyncwds.compression.kinds import SUFFIXES

Kind = Literal["image", "raster", "array", "audio", "video", "json", "text", "other"]
"""`image` is what browsers show by themselves, `raster` what is drawn for them."""

DOWNLOAD = "application/octet-stream"

# Of what a browser may show by itself; all else is for saving. SVG and HTML are programs, and shown as text.
_TYPES: dict[Kind, dict[str, str]] = {
    "image": {
        **dict.fromkeys(("jpg", "jpeg", "jpe", "jfif"), "image/jpeg"),
        **dict.fromkeys(("png", "apng"), "image/png"),
        "webp": "image/webp",
        "gif": "image/gif",
        "bmp": "image/bmp",
    },
    "audio": {
        "wav": "audio/wav",
        "flac": "audio/flac",
        "mp3": "audio/mpeg",
        "m4a": "audio/mp4",
        "aac": "audio/aac",
        **dict.fromkeys(("ogg", "oga", "opus"), "audio/ogg"),
    },
    "video": {
        **dict.fromkeys(("mp4", "m4v"), "video/mp4"),
        "webm": "video/webm",
        "ogv": "video/ogg",
        "mov": "video/quicktime",
        "mkv": "video/x-matroska",
    },
}
_SHOWN_OTHERWISE: dict[Kind, set[str]] = {
    "raster": {"tif", "tiff", "ppm", "pgm", "pbm", "pnm", "tga", "jp2", "j2k", "jpx", "avif", "ico", "fits"},
    "array": {"npy", "npz"},
    "json": {"json"},
    "text": {
        *("txt", "text", "caption", "cap", "transcript", "prompt", "cls", "cls2", "class", "label", "index", "inx", "id", "count"),
        *("html", "htm", "xml", "svg", "md", "rst", "tex", "csv", "tsv", "yaml", "yml", "toml", "jsonl", "ndjson", "srt", "vtt"),
        *("url", "lang", "score", "py", "log"),
    },
}
_KINDS: dict[str, Kind] = {
    **{suffix: kind for kind, types in _TYPES.items() for suffix in types},
    **{suffix: kind for kind, suffixes in _SHOWN_OTHERWISE.items() for suffix in suffixes},
}


class FieldKind(NamedTuple):
    """`compression` is that of the field itself, as of `json.gz`; `suffix` is the last one without that."""

    kind: Kind
    suffix: str
    type: str
    compression: str | None


def kind_of(name: str) -> FieldKind:
    """Of a field by its name, such as "left.jpg" or "info.json.gz"."""
    inner, _, last = name.lower().rpartition(".")
    compression = SUFFIXES.get(last) or SUFFIXES.get(f".{last}")
    suffix = inner.rpartition(".")[2] if compression else last
    kind = _KINDS.get(suffix, "other")
    if compression and kind in ("audio", "video"):
        kind = "other"
    content_type = DOWNLOAD if compression else _TYPES.get(kind, {}).get(suffix, DOWNLOAD)
    return FieldKind(kind, suffix, content_type, compression)
