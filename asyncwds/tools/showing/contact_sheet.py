r"""Samples on one page of HTML that needs nothing beside itself: pictures and recordings stand in it as `data:` URIs. No I/O.

Nothing of a sample is read as HTML, and no script could run: the page's own policy allows none. What is not printable is written
as `\x1b`, as in a terminal.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from functools import cache
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING

from asyncwds.errors import redact
from asyncwds.formatting.texts import escape as escape_name
from asyncwds.formatting.texts import plural, printable, size
from asyncwds.previews.kinds import DOWNLOAD
from asyncwds.previews.preview import FieldPreview
from asyncwds.tools.report import Report

if TYPE_CHECKING:
    from asyncwds.tools.show import SamplePreview

POLICY = "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"
_SIDE = 320  # [pixels] of a thumbnail: twice what it is shown at
_OPEN, _LINES = 300, 7  # characters and lines of a text that is not folded
_BEGINNING = 80  # characters of one that is
_MOST = 20_000  # characters of a text
_ORDER = ("image", "raster", "array", "video", "audio", "text", "json", "other")


def page_head(title: str) -> str:
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<meta name="color-scheme" content="light dark">\n'
        f'<title>{_plain(title)}</title>\n<link rel="icon" href="data:,">\n<style>\n{_style()}</style>\n</head>\n'
        f"<body>\n<header><h1>{_plain(title)}</h1></header>\n<main>\n<ol>\n"
    )


def page_foot(report: Report) -> str:
    """What became of the samples, and what is damaged."""
    dropped = "".join([f"; {count} left out: {_plain(reason)}" for reason, count in sorted(report.dropped.items())])
    damaged = "".join([f'<p class="problem">damaged: {_plain(error)}</p>\n' for error in report.damaged])
    counted = f"<p>{plural(report.samples_out, 'sample')}{dropped}</p>\n"
    return f"</ol>\n</main>\n<footer>\n{counted}{damaged}</footer>\n</body>\n</html>\n"


def sample_card(sample: SamplePreview, max_embedded: int) -> str:
    """Its fields in the order in which they are looked at: what the sample is of, then what is said of it."""
    place = f"sample {sample.ordinal} of {redact(sample.url)}, {size(sample.nbytes)} at byte {sample.offset}"
    key = escape(escape_name(sample.key))
    fields = sorted(sample.fields, key=lambda field: (_ORDER.index(field.kind.kind), field.name.count(".")))
    parts = [part for field in fields for part in _field(field, key, max_embedded)]
    return f'<li><article>\n<h2>{key}</h2>\n<p class="place">{_plain(place)}</p>\n{"".join(parts)}</article></li>\n'


def _field(field: FieldPreview, key: str, max_embedded: int) -> Iterator[str]:
    name, kind = escape(escape_name(field.name)), field.kind.kind
    head = f"<b>{name}</b> <span>{size(len(field.data))}</span>"
    if field.problem is not None:
        yield f'<p class="problem">{head} {_plain(field.problem)}</p>\n'
    elif kind not in ("text", "json", "other"):
        shown = _player_or_picture(field, f"{name} of sample {key}", max_embedded)
        caption = f"{head} {_plain(_facts(field, max_embedded))}"
        yield f"<figure>{shown}<figcaption>{caption}</figcaption></figure>\n"
    elif not field.text:
        yield _words(head, field.about, is_folded=False)
    if field.text:
        yield _words(head, field.text, is_folded=kind == "json")


def _player_or_picture(field: FieldPreview, name: str, max_embedded: int) -> str:
    """ "" for what is neither, as a recording that is too large."""
    kind = field.kind.kind
    drawn = field.thumbnail(_SIDE)
    picture = "" if drawn is None else _data(drawn.data, drawn.type)
    if kind in ("audio", "video") and field.kind.type != DOWNLOAD and len(field.data) <= max_embedded:
        preload = "metadata" if kind == "video" and not picture else "none"  # of a video that shows the first frame
        poster = f' poster="{picture}"' if picture else ""
        source = _data(field.data, field.kind.type)
        return f'<{kind} controls preload="{preload}" src="{source}"{poster} aria-label="{name}"></{kind}>'
    first = "first frame of " if kind == "video" else ""
    return f'<img src="{picture}" alt="{first}{name}">' if picture else ""


def _facts(field: FieldPreview, max_embedded: int) -> str:
    about = field.about.replace("\n", "; ")
    if field.kind.kind in ("audio", "video") and len(field.data) > max_embedded:
        return f"{about} (more than {size(max_embedded)}: not in this page)"
    return about


def _words(head: str, text: str, *, is_folded: bool) -> str:
    """Long ones are folded in any case."""
    lines = text.strip("\n").split("\n")
    shown = "\n".join([_plain(line.rstrip("\r").expandtabs(4)) for line in _cut(lines)])
    if is_folded or len(text) > _OPEN or len(lines) > _LINES:
        first = " ".join(text[:_OPEN].split())
        beginning = _plain(first[:_BEGINNING]) + ("…" if len(first) > _BEGINNING else "")
        return f'<details><summary>{head} <i>{beginning}</i></summary><pre dir="auto">{shown}</pre></details>\n'
    if len(lines) == 1:
        return f"<p>{head} <bdi>{shown}</bdi></p>\n"
    return f'<p>{head}</p>\n<p class="text" dir="auto">{shown}</p>\n'


def _cut(lines: list[str]) -> Iterator[str]:
    left = _MOST
    for number, line in enumerate(lines):
        yield line if len(line) <= left else f"{line[:left]} …"
        left -= len(line) + 1
        if left <= 0:
            if number + 1 < len(lines):
                yield f"… and {len(lines) - number - 1} more lines"
            return


def _plain(text: str) -> str:
    return escape(printable(text))


def _data(data: bytes, content_type: str) -> str:
    return f"data:{content_type};base64,{b64encode(data).decode()}"


@cache
def _style() -> str:
    return files("asyncwds.tools.showing").joinpath("contact_sheet.css").read_text("utf-8")
