"""Arrays, tensors and PIL images → image files."""

from __future__ import annotations

import sys
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Where webdataset sets a quality, it is 100; the others are as exact as the format allows.
_OPTIONS: dict[str, dict[str, Any]] = {"JPEG": {"quality": 100}, "WEBP": {"lossless": True}, "AVIF": {"quality": 100}}
_FORMATS = {
    **dict.fromkeys(("JPG", "JPE", "JFIF"), "JPEG"),
    **dict.fromkeys(("TIF",), "TIFF"),
    **dict.fromkeys(("IMG", "IMAGE", "PBM", "PGM", "PPM", "PNM"), "PPM"),
    **dict.fromkeys(("JP2", "J2K"), "JPEG2000"),
}
_NETPBM = {"PBM": ("1",), "PGM": ("L", "I", "I;16")}  # modes that each can hold; the first is converted to


def imageencoder(image: Any, format: str = "PNG") -> bytes:  # noqa: A002 - webdataset's name
    """An image file: of a PIL image, an array [H, W], [H, W, 1], [H, W, 3] or [H, W, 4], or a tensor [C, H, W] or as an array.

    Values are uint8, or floats from 0 to 1 that are rounded to 8 bits. `format` is an extension or a name of Pillow's, in any
    case. Raises ValueError for values out of range, TypeError for other types and shapes; what a format cannot hold is what
    Pillow raises.
    """
    name = format.upper()
    picture = image if isinstance(image, Image.Image) else Image.fromarray(_pixels(image))
    kind = _FORMATS.get(name, name)
    with BytesIO() as file:
        _convert_mode(picture, name).save(file, format=kind, **_OPTIONS.get(kind, {}))
        return file.getvalue()


def _convert_mode(picture: Image.Image, name: str) -> Image.Image:
    modes = _NETPBM.get(name, ())
    if not modes or picture.mode in modes:
        return picture
    return picture.convert(modes[0], dither=Image.Dither.NONE)  # a threshold in place of a pattern of dots


def _pixels(value: Any) -> NDArray[Any]:
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        value = _channels_last(value.detach().cpu().numpy())
    if not isinstance(value, np.ndarray):
        raise TypeError(f"an image is a PIL image, an array or a tensor, not {type(value).__name__}")
    if value.ndim not in (2, 3) or (value.ndim == 3 and value.shape[2] not in (1, 3, 4)):
        raise TypeError(f"an image has the shape [H, W] or [H, W, C] with 1, 3 or 4 channels, not {list(value.shape)}")
    pixels = _quantise(value) if value.dtype.kind == "f" else value
    return pixels[:, :, 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels


def _channels_last(array: NDArray[Any]) -> NDArray[Any]:
    # Tensors of images are [C, H, W], as `decode("torchrgb")` makes them, unless only the last dimension can be channels.
    return array.transpose(1, 2, 0) if array.ndim == 3 and array.shape[0] in (1, 3, 4) else array


def _quantise(values: NDArray[Any]) -> NDArray[np.uint8]:
    """0..1 → 0..255. Rounded, where webdataset truncates: so what was decoded to floats comes back as the same bytes."""
    low, high = (values.min(), values.max()) if values.size else (0.0, 0.0)
    if not (low > -0.001 and high < 1.001):  # NaN is neither
        raise ValueError(f"floats in an image are from 0 to 1, not from {low} to {high}")
    scaled: NDArray[np.float32] = np.clip(values, 0, 1).astype(np.float32) * 255
    return np.rint(scaled).astype(np.uint8)
