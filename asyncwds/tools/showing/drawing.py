"""Pictures for terminals: kitty's graphics, sixels, or two pixels in each character. No I/O."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from io import BytesIO
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from asyncwds.previews.preview import FieldPreview
from asyncwds.tools.showing.terminal import Style

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CHUNK = 4096  # characters of base64 in one sequence, as kitty's protocol has it
_MOST_COLOURS = 255
_BEHIND = (128, 128, 128)  # what is transparent
RESET = "\x1b[0m"


def draw_field(field: FieldPreview, style: Style, indent: int) -> Iterator[str]:
    """Lines; none for what is no picture."""
    columns = max(1, style.width - indent)
    if style.graphics == "none":
        return
    if style.graphics == "blocks":
        image = field.picture(columns, 2 * style.rows)
        if image is not None:
            yield from (" " * indent + line for line in as_blocks(_opaque(image), style.colours))
        return
    image = field.picture(columns * style.cell[0], style.rows * style.cell[1])
    if image is not None:
        yield " " * indent + (as_kitty(image) if style.graphics == "kitty" else as_sixels(_opaque(image)))


def _opaque(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image
    return Image.alpha_composite(Image.new("RGBA", image.size, (*_BEHIND, 255)), image.convert("RGBA")).convert("RGB")


def as_blocks(image: Image.Image, colours: int) -> Iterator[str]:
    """A line for two rows of pixels: the upper one is the colour of the character, the lower one that behind it."""
    pixels = np.asarray(image)
    for top in range(0, len(pixels), 2):
        upper = pixels[top].tolist()
        lower = pixels[top + 1].tolist() if top + 1 < len(pixels) else [None] * len(upper)
        runs = ((pair, sum(1 for _ in run)) for pair, run in groupby(zip(upper, lower, strict=True)))
        yield "".join([_colours(above, below, colours) + "▀" * count for (above, below), count in runs]) + RESET


def _colours(above: list[int], below: list[int] | None, colours: int) -> str:
    behind = "\x1b[49m" if below is None else f"\x1b[48;{_colour(below, colours)}m"
    return f"\x1b[38;{_colour(above, colours)}m{behind}"


def _colour(rgb: list[int], colours: int) -> str:
    """Of 256 colours 216 are a cube of 6 levels each."""
    if colours > 256:
        return "2;{};{};{}".format(*rgb)
    red, green, blue = (0 if value < 48 else 1 if value < 115 else (value - 35) // 40 for value in rgb)
    return f"5;{16 + 36 * red + 6 * green + blue}"


def as_kitty(image: Image.Image) -> str:
    """As PNG, in pieces; `q=2`: the terminal answers nothing, which the shell would take for typing."""
    out = BytesIO()
    image.save(out, "png", compress_level=1)
    text = b64encode(out.getvalue()).decode()
    chunks = [text[start : start + _CHUNK] for start in range(0, len(text), _CHUNK)]
    heads = ["a=T,f=100,q=2,", *[""] * (len(chunks) - 1)]
    more = [1] * (len(chunks) - 1) + [0]
    return "".join([f"\x1b_G{head}m={go_on};{chunk}\x1b\\" for head, go_on, chunk in zip(heads, more, chunks, strict=True)])


def as_sixels(image: Image.Image) -> str:
    """Rows of 6 pixels: for each colour a character for each column, whose bits are the pixels of that colour."""
    indexed = image.quantize(_MOST_COLOURS)
    pixels = np.asarray(indexed)
    palette = np.array(indexed.getpalette() or [], int).reshape(-1, 3)
    colours = [f"#{number};2;{';'.join(map(str, np.rint(palette[number] / 2.55).astype(int)))}" for number in np.unique(pixels)]
    bands = [_band(pixels[top : top + 6]) for top in range(0, len(pixels), 6)]
    return f'\x1bP0;1q"1;1;{image.width};{image.height}{"".join(colours)}{"-".join(bands)}\x1b\\'


def _band(pixels: NDArray[Any]) -> str:
    weights = 1 << np.arange(len(pixels))[:, None]
    return "$".join([f"#{number}{_runs(((pixels == number) * weights).sum(axis=0) + 63)}" for number in np.unique(pixels)])


def _runs(codes: NDArray[Any]) -> str:
    counted = ((chr(code), sum(1 for _ in run)) for code, run in groupby(codes.tolist()))
    return "".join([f"!{count}{char}" if count > 3 else char * count for char, count in counted])
