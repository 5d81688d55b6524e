"""JPEGs by simplejpeg (libjpeg-turbo), to the pixels that Pillow gives; at a fraction of their size, or only their upper part.

Pillow has the same library, and both are told to do the same: the accurate DCT and smooth upsampling of colours. Without Pillow's
copies 500 x 400 pixels take 0.9 ms and not 1.4.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

Choice = Callable[[int, int], tuple[int, int]]
"""(height, width) → (the factor by which a JPEG is to be decoded smaller: 1, 2, 4 or 8; how many of its rows are needed)."""

_START, _END = b"\xff\xd8\xff", b"\xff\xd9"
_SMALLEST = 8  # [pixels] of a side: below that other scales of the library come to the same size
_FRAMES = frozenset({0xC0, 0xC1, 0xC2})  # baseline, extended and progressive, with Huffman codes
_CONTEXT = 16  # rows: those next to the last one that is needed take part in its colours


def is_jpeg(data: bytes) -> bool:
    return data.startswith(_START)


def factor_for(side: int, least: float) -> int:
    """The largest of the factors 8, 4, 2 and 1 by which a side has at least so many pixels; 1 where it has fewer anyway.

    The scales between, of n/8, take longer than the whole image (500 x 400 pixels: 0.6 ms, at 3/4 1.5, at 5/8 0.8, at 1/2 0.4),
    as the library has vector code for powers of two only.
    """
    return next((factor for factor in (8, 4, 2) if side >= _SMALLEST and -(-side // factor) >= least), 1)


@cache
def simplejpeg() -> Any:
    """The library, or None where it is not installed."""
    try:
        import simplejpeg as library  # noqa: PLC0415 - an extra
    except ImportError:
        return None
    return library


def read_jpeg(data: bytes, mode: str, choose: Choice | None, bound: float, out: NDArray[Any] | None = None) -> NDArray[Any] | None:
    """[H, W] or [H, W, C] of bytes, in `out` if that fits; "L" is for grey JPEGs, others become RGB. None for what is Pillow's.

    That is what is no JPEG, is in CMYK, has more than `bound` pixels, or is not quite right: Pillow decides whether it will do.
    """
    library = simplejpeg()
    if library is None or not is_jpeg(data):
        return None
    try:
        height, width, colours, _ = library.decode_jpeg_header(data)
        if colours in {"CMYK", "YCCK"} or height * width > bound:
            return None
        factor, needed = (1, height) if choose is None else choose(height, width)
        upper, rows = first_rows(data, height, needed)
        size = (-(-rows // factor), -(-width // factor))
        wanted = ("GRAY" if colours == "Gray" else "RGB") if mode == "L" else mode
        shape = size if wanted == "GRAY" else (*size, len(wanted))
        fits = out is not None and out.shape == shape and out.flags.c_contiguous
        pixels: NDArray[Any] = library.decode_jpeg(
            upper,
            wanted,
            min_height=size[0],
            min_width=size[1],
            min_factor=factor,
            buffer=out if fits else None,
            strict=rows == height,  # what is behind these rows would be a warning
        )
    except (ValueError, RuntimeError, KeyError):  # KeyError: colours that it has no name for
        return None
    return pixels[:, :, 0] if wanted == "GRAY" else pixels


def first_rows(data: bytes, height: int, needed: int) -> tuple[bytes, int]:
    """A JPEG that begins with the same rows and has no more than it takes to decode these to the last bit; and how many those are.

    Its header says so, and a decoder stops there. It is as it was where nothing would be saved, and where it has no end, which
    would not be noticed any more.
    """
    rows, at = needed + _CONTEXT, 2
    while rows < height and at + 9 < len(data) and data[at] == 0xFF and 0xC0 <= data[at + 1] < 0xFF:
        if data[at + 1] in _FRAMES:
            ends = data.rfind(_END, at) > 0
            return (b"".join((data[: at + 5], rows.to_bytes(2, "big"), data[at + 7 :])), rows) if ends else (data, height)
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return data, height
