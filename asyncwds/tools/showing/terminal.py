"""What a terminal can show: how wide it is, colours, and pictures if it says so."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from select import select
from typing import Literal, TextIO, get_args

from asyncwds import checks

Graphics = Literal["auto", "kitty", "sixel", "blocks", "none"]
GRAPHICS: tuple[str, ...] = get_args(Graphics)

# A picture of one pixel in kitty's protocol, of which is asked whether it could be shown; then what terminal this is, which all
# answer: after that answer nothing more is to be waited for.
_QUESTIONS = b"\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\\x1b[c"
_ATTRIBUTES = re.compile(rb"\x1b\[\?([\d;]*)c")
_PATIENCE = 0.5  # [s]
_CELL = (10, 20)  # [pixels] where a terminal does not say it


@dataclass(frozen=True, kw_only=True)
class Style:
    """width     columns; None breaks no lines
    rows      of a picture, at most
    colours   0 for none, 256, or 2**24
    graphics  how pictures are drawn: "kitty", "sixel", "blocks" (two pixels in a character), "none" (they are described)
    cell      pixels of a character, across and down
    lines     of a text, at most; None for all
    """

    width: int = 80
    rows: int = 24
    colours: int = 0
    graphics: Literal["kitty", "sixel", "blocks", "none"] = "none"
    cell: tuple[int, int] = _CELL
    lines: int | None = 20


def choose_style(
    output: TextIO, graphics: Graphics = "auto", *, lines: int | None = 20, environ: Mapping[str, str] = os.environ
) -> Style:
    """For a stream: plain where it is no terminal, or NO_COLOR says so. With "auto" a terminal is asked what it can draw.

    Raises SpecError for graphics that there are not.
    """
    checks.one_of("graphics", graphics, GRAPHICS)
    is_terminal = output.isatty() and environ.get("TERM") != "dumb"
    size = shutil.get_terminal_size()
    colours = _colours(environ) if is_terminal or graphics not in ("auto", "none") else 0
    chosen = _ask(output) if graphics == "auto" and is_terminal and colours else "none" if graphics == "auto" else graphics
    if chosen == "blocks" and graphics == "auto" and "utf" not in (output.encoding or "").lower():
        chosen = "none"
    return Style(
        width=size.columns, rows=max(4, min(24, size.lines - 4)), colours=colours, graphics=chosen, cell=_cell(output), lines=lines
    )


def _colours(environ: Mapping[str, str]) -> int:
    if environ.get("NO_COLOR"):
        return 0
    return 2**24 if environ.get("COLORTERM") in ("truecolor", "24bit") or "kitty" in environ.get("TERM", "") else 256


def _cell(output: TextIO) -> tuple[int, int]:
    if find_spec("termios") is None:
        return _CELL
    import fcntl  # noqa: PLC0415 - not on all systems
    import struct  # noqa: PLC0415 - used here only
    import termios  # noqa: PLC0415 - as above

    try:
        answer = fcntl.ioctl(output.fileno(), termios.TIOCGWINSZ, bytes(8))
    except OSError:
        return _CELL
    rows, columns, width, height = struct.unpack("HHHH", answer)
    return (width // columns, height // rows) if rows and columns and width >= columns and height >= rows else _CELL


def _ask(output: TextIO) -> Literal["kitty", "sixel", "blocks"]:
    """Of the terminal of this process, if it is in the foreground there: others would be stopped."""
    if find_spec("termios") is None:
        return "blocks"
    try:
        terminal = os.open(os.ttyname(output.fileno()), os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return "blocks"
    try:
        return graphics_of(_answer(terminal)) if os.tcgetpgrp(terminal) == os.getpgrp() else "blocks"
    except OSError:
        return "blocks"
    finally:
        os.close(terminal)


def _answer(terminal: int) -> bytes:
    import termios  # noqa: PLC0415 - not on all systems
    import tty  # noqa: PLC0415 - as above

    before = termios.tcgetattr(terminal)
    try:
        tty.setcbreak(terminal, termios.TCSANOW)
        os.write(terminal, _QUESTIONS)
        return _read_answer(terminal, time.monotonic() + _PATIENCE)
    finally:
        termios.tcsetattr(terminal, termios.TCSANOW, before)


def _read_answer(terminal: int, until: float) -> bytes:
    found = b""
    while not _ATTRIBUTES.search(found) and (left := until - time.monotonic()) > 0:
        if select([terminal], [], [], left)[0]:
            found += os.read(terminal, 1024)
    return found


def graphics_of(answer: bytes) -> Literal["kitty", "sixel", "blocks"]:
    """What a terminal can that has answered so: kitty's protocol says OK; sixels are attribute 4 of a terminal."""
    if b"\x1b_Gi=31;OK" in answer:
        return "kitty"
    attributes = _ATTRIBUTES.search(answer)
    return "sixel" if attributes and b"4" in attributes[1].split(b";")[1:] else "blocks"
