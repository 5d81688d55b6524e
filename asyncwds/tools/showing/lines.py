r"""A sample in lines for people. Nothing of it is obeyed by a terminal: what is not printable is written as `\x1b`. No I/O."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from asyncwds.errors import redact
from asyncwds.formatting.texts import escape, printable, size
from asyncwds.previews.preview import FieldPreview
from asyncwds.tools.showing.drawing import RESET, draw_field
from asyncwds.tools.showing.terminal import Style

if TYPE_CHECKING:
    from asyncwds.tools.show import SamplePreview

_INDENT = 4
_HEX_LINES = 4
_BOLD, _SOFT, _FIELD, _WARNING = "\x1b[1m", "\x1b[2m", "\x1b[36m", "\x1b[33m"
_NAME, _STRING, _OTHER = "\x1b[34m", "\x1b[32m", "\x1b[35m"
_JSON = re.compile(
    r'(?P<name>"(?:[^"\\]|\\.)*"(?=:))|(?P<string>"(?:[^"\\]|\\.)*")|(?P<other>-?\d[\d.eE+-]*|\b(?:true|false|null)\b)'
)


def lines_of(sample: SamplePreview, style: Style) -> Iterator[str]:
    """Its key, where it is, and its fields."""
    yield _painted(escape(sample.key), _BOLD, style)
    place = f"sample {sample.ordinal} of {printable(redact(sample.url))}, {size(sample.nbytes)} at byte {sample.offset}"
    yield _painted(f"  {place}", _SOFT, style)
    for field in sample.fields:
        yield from _field(field, style)


def _field(field: FieldPreview, style: Style) -> Iterator[str]:
    head = f"  {_painted(escape(field.name), _FIELD, style)} {_painted(size(len(field.data)), _SOFT, style)}"
    about, text = field.about.split("\n"), field.text.strip("\n").split("\n")
    if field.problem is not None:
        head += f" {_painted(printable(field.problem), _WARNING, style)}"
    if len(about) == 1 and about[0]:
        head += f" {printable(about[0])}"
    is_short = len(text) == 1 and field.kind.kind == "text" and len(text[0]) < style.width
    yield f"{head} {_plain(text[0])}".rstrip() if is_short else head
    if len(about) > 1:
        yield from _block(about, style, style.lines)
    if field.text and not is_short:
        most = style.lines if field.kind.kind in ("text", "json") or style.lines is None else _HEX_LINES
        yield from _block(text, style, most, is_json=field.kind.kind == "json" and field.problem is None)
    yield from draw_field(field, style, _INDENT)


def _block(lines: list[str], style: Style, most: int | None, *, is_json: bool = False) -> Iterator[str]:
    for line in lines[:most]:
        shown = _plain(line) if most is None else _cut(_plain(line), most * style.width)
        yield " " * _INDENT + (_JSON.sub(lambda found: _paint_json(found, style), shown) if is_json and style.colours else shown)
    if most is not None and len(lines) > most:
        yield _painted(f"{' ' * _INDENT}… and {len(lines) - most} more lines", _SOFT, style)


def _plain(line: str) -> str:
    return printable(line.rstrip("\r").expandtabs(4))


def _cut(line: str, most: int) -> str:
    return line if len(line) <= most else f"{line[:most]} … and {len(line) - most} more characters"


def _paint_json(found: re.Match[str], style: Style) -> str:
    colour = {"name": _NAME, "string": _STRING, "other": _OTHER}[found.lastgroup or "other"]
    return _painted(found[0], colour, style)


def _painted(text: str, colour: str, style: Style) -> str:
    return f"{colour}{text}{RESET}" if style.colours else text
