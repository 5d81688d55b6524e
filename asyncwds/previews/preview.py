"""A field as people look at it: facts, text, or a picture."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from PIL import Image

from asyncwds.previews.facts import describe_field
from asyncwds.previews.kinds import FieldKind, kind_of
from asyncwds.previews.pictures import Picture, draw, open_picture, shrink
from asyncwds.previews.texts import read_text
from asyncwds.runtime.units import MiB

T = TypeVar("T")

LONGEST = MiB  # characters
_DRAWN = frozenset({"image", "raster", "array", "video"})


@dataclass(frozen=True)
class FieldPreview:
    """about    facts, in lines: what an image measures, how long a recording is, the shape of an array
    text     of text, and of JSON, indented; of what is nothing that is known, its first bytes in hexadecimal
    problem  why there is no more than that: the field is not what its name says, or an extra is missing
    """

    name: str
    kind: FieldKind
    data: bytes
    about: str
    text: str
    problem: str | None

    def picture(self, width: int, height: int) -> Image.Image | None:
        """In RGB or RGBA, at most so many pixels; None for what is no picture, or cannot be drawn."""
        return self._drawn(lambda: self._shrunk(max(width, 1), max(height, 1)))

    def thumbnail(self, size: int) -> Picture | None:
        """As a file for browsers, at most so many pixels wide and high; None as `picture`."""
        return self._drawn(lambda: draw(self.data, self.name, self.kind, size, "auto"))

    def _shrunk(self, width: int, height: int) -> Image.Image:
        image, exact = open_picture(self.data, self.name, self.kind, max(width, height))
        return shrink(image, exact, (width, height))

    def _drawn(self, drawing: Callable[[], T]) -> T | None:
        if self.kind.kind not in _DRAWN or self.problem is not None:
            return None
        try:
            return drawing()
        except Exception:  # noqa: BLE001 - whatever decoders raise, and arrays that are no pictures
            return None

    def as_dict(self) -> dict[str, Any]:
        """For JSON: `value` is what JSON says, `text` what texts say."""
        about: dict[str, Any] = {"name": self.name, "kind": self.kind.kind, "bytes": len(self.data)}
        if self.kind.kind == "json" and self.problem is None:
            about["value"] = json.loads(self.text)
        elif self.kind.kind == "text":
            about["text"] = self.text
        known = {"about": self.about or None, "problem": self.problem}
        return about | {name: value for name, value in known.items() if value is not None}


def preview_field(name: str, data: bytes) -> FieldPreview:
    """Never raises for what is in the field. No code of it is run: pickles give plain data, arrays and tensors."""
    kind = kind_of(name)
    try:
        about, text, problem = describe_field(data, kind), "", None
        if not about and kind.kind in ("text", "json", "other"):
            found = read_text(data, kind, LONGEST, whole=True)
            text = found.text + ("\n…" if found.cut else "")
            problem = "this is no JSON" if kind.kind == "json" and found.form != "json" else None
    except Exception as error:  # noqa: BLE001 - whatever decoders raise
        about, text, problem = "", "", f"{type(error).__name__}: {error}"
    return FieldPreview(name, kind, data, about, text, problem)
