"""What an image looks like, in 64 bits: pictures that look alike differ in few of them, whatever their size and format. No I/O."""

from __future__ import annotations

import math
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from asyncwds.previews.pictures import POSTSCRIPT

_SIDE = 32  # [pixels] of what is transformed
_KEPT = 8  # frequencies in each direction
_ENOUGH = 256  # [pixels]: a JPEG is decoded at half the size, or less, where that is no smaller
_NOTHING = 1e-6  # of a coefficient: what rounding leaves


def hash_image(data: bytes) -> int | None:
    """Of each of the 8 x 8 lowest frequencies of the grey picture, whether it is stronger than their median: a DCT, as of pHash.

    None for a picture of one colour, of which there is nothing to compare. It is turned as its EXIF data say. Raises ValueError,
    and what Pillow raises, for what is no picture.
    """
    if data.startswith(POSTSCRIPT):
        raise ValueError("PostScript is a program, and not run")
    with Image.open(BytesIO(data)) as image:
        image.draft(None, (_ENOUGH, _ENOUGH))
        grey = ImageOps.exif_transpose(image).convert("L").resize((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    transform = _transform()
    strengths = transform @ np.asarray(grey, np.float64) @ transform.T
    strengths[np.abs(strengths) < _NOTHING] = 0
    if not strengths.ravel()[1:].any():
        return None
    bits = np.packbits(strengths.ravel() > np.median(strengths))
    return int.from_bytes(bits.tobytes(), "big")


def _transform() -> NDArray[Any]:
    """DCT-II of the lowest frequencies: [8, 32]."""
    frequencies, places = np.arange(_KEPT)[:, None], np.arange(_SIDE)[None, :] + 0.5
    waves: NDArray[Any] = np.cos(math.pi / _SIDE * frequencies * places)
    return waves
