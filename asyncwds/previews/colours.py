"""Numbers → colours: depth by a map from dark to bright, classes by colours that are far apart. No I/O."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

ColourMap = Literal["auto", "grey", "depth", "labels"]
COLOUR_MAPS: tuple[str, ...] = get_args(ColourMap)

# Points of viridis (CC0), whose lightness grows evenly: it reads the same in grey, and to the colour-blind.
_POINTS = ["440154", "482878", "3e4989", "31688e", "26828e", "1f9e89", "35b779", "6ece58", "b5de2b", "fde725"]
_GOLDEN = 0.61803398875  # of the circle of hues, from each class to the next
_NAMES = ("mask", "seg", "label", "instance", "semantic", "panoptic", "class")
_FEW = 64


def choose_map(pixels: NDArray[Any], name: str) -> ColourMap:
    """For one channel: classes where the field's name says so, or where they are few small whole numbers."""
    kind = pixels.dtype.kind
    if pixels.dtype == np.bool_:
        return "grey"
    if kind in "iu" and any(word in name.lower() for word in _NAMES):
        return "labels"
    if pixels.dtype == np.uint8:
        return "labels" if pixels.size and int(pixels.max()) < _FEW else "grey"
    if kind in "iu" and pixels.dtype != np.uint16 and pixels.size and int(pixels.min()) >= 0 and int(pixels.max()) < 256:
        return "labels"
    return "depth"


def colour(pixels: NDArray[Any], how: ColourMap) -> NDArray[np.uint8]:
    """[H, W] → [H, W, 3]."""
    if how == "labels":
        return _labels(pixels)
    scaled = _scale(pixels)
    if how == "depth":
        coloured: NDArray[np.uint8] = _table()[scaled]
        return coloured
    return np.repeat(scaled[:, :, None], 3, axis=2)


def _scale(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """To 0..255 between the 1st and the 99th of a hundred; what is no number is 0. Of 16 bits 0 often means: not measured."""
    if pixels.dtype == np.uint8:
        return pixels
    numbers = pixels.astype(np.float32)
    known = np.isfinite(numbers)
    if pixels.dtype == np.uint16 and (pixels > 0).any():
        known &= pixels > 0
    if not known.any():
        return np.zeros(pixels.shape, np.uint8)
    low, high = np.percentile(numbers[known][:: max(1, known.sum() // 1_000_000)], [1, 99])
    span = high - low if high > low else 1.0
    scaled = np.clip((np.where(known, numbers, low) - low) / span, 0, 1) * 255
    result: NDArray[np.uint8] = np.where(known, scaled, 0).astype(np.uint8)
    return result


def _labels(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """0 is black, 255 of 8 bits white: it often means that a pixel is of no class."""
    numbers = np.nan_to_num(pixels).astype(np.int64)
    classes, places = np.unique(numbers, return_inverse=True)
    colours = _hues((classes * _GOLDEN) % 1)
    colours[classes == 0] = 0
    if pixels.dtype == np.uint8:
        colours[classes == 255] = 255
    coloured: NDArray[np.uint8] = colours[places.reshape(pixels.shape)]
    return coloured


def _hues(hues: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Strong colours: [N] in 0..1 → [N, 3]."""
    offsets = (hues[:, None] + np.array([0, 2 / 3, 1 / 3])) % 1
    strong: NDArray[np.uint8] = (np.clip(np.abs(offsets * 6 - 3) - 1, 0.15, 0.95) * 255).astype(np.uint8)
    return strong


def _table() -> NDArray[np.uint8]:
    points = np.array([[int(point[i : i + 2], 16) for i in (0, 2, 4)] for point in _POINTS])
    places = np.linspace(0, 255, len(points))
    return np.stack([np.interp(np.arange(256), places, channel) for channel in points.T], axis=1).astype(np.uint8)
