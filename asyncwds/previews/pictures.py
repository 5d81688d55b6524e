"""Draws fields that are pictures: images, small enough for a grid, masks and depth in colours, arrays, first frames of videos."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from asyncwds.codecs.field_loaders import npy_loads, npz_loads
from asyncwds.codecs.images import decode_image
from asyncwds.compression.decompress import unpack_field
from asyncwds.previews.colours import ColourMap, choose_map, colour
from asyncwds.previews.kinds import FieldKind
from asyncwds.runtime.units import MiB

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_UNPACKED = 256 * MiB
_QUALITY = 85
POSTSCRIPT = (b"%!", b"\xc5\xd0\xd3\xc6")  # Pillow knows it by its content, and starts Ghostscript


class Picture(NamedTuple):
    """A file for browsers."""

    data: bytes
    type: str


def draw(data: bytes, name: str, kind: FieldKind, size: int, how: ColourMap) -> Picture:
    """At most `size` pixels wide and high. Raises ValueError, and what decoding raises, for what is no picture."""
    return _encode(*open_picture(data, name, kind, size, how), size)


def open_picture(data: bytes, name: str, kind: FieldKind, size: int, how: ColourMap = "auto") -> tuple[Image.Image, bool]:
    """Not made small, but for a JPEG that is far larger than `size`; and whether it must have no other colours than it has.

    Raises as `draw`.
    """
    data = unpacked(data, kind)
    if kind.kind == "video":
        return _first_frame(data), False
    if kind.kind == "array":
        return _from_array(only_array(data, kind.suffix), name, how), True
    if data.startswith(POSTSCRIPT):
        raise ValueError("PostScript is a program, and not run")
    image = _plain(data, size) if how == "auto" else None
    if image is None or _is_mask(image, name):
        return _from_array(decode_image(data, "raw"), name, how), True
    return image, image.mode in ("1", "P")


def unpacked(data: bytes, kind: FieldKind) -> bytes:
    return data if kind.compression is None else unpack_field(kind.compression, data, MAX_UNPACKED)


def only_array(data: bytes, suffix: str) -> NDArray[Any]:
    """The array, or the first one of several. Raises ValueError where there is none."""
    if suffix == "npz":
        array = next(iter(npz_loads(data, MAX_UNPACKED).values()), None)
        if array is None:
            raise ValueError("there is no array in it")
        return np.asarray(array)
    return np.asarray(npy_loads(data))


def _plain(data: bytes, size: int) -> Image.Image | None:
    """An image of 8 bits a channel; None for one that Pillow does not know, or that has other numbers."""
    try:
        image: Image.Image = Image.open(BytesIO(data))
    except UnidentifiedImageError:
        return None
    if image.mode[0] in "IF":
        return None
    image.draft(None, (size, size))  # a JPEG is decoded at half the size, or less, where that is enough
    return ImageOps.exif_transpose(image)


def _is_mask(image: Image.Image, name: str) -> bool:
    return image.mode == "L" and choose_map(np.asarray(image), name) == "labels"


def _from_array(array: NDArray[Any], name: str, how: ColourMap) -> Image.Image:
    planes = as_planes(array)
    if planes.ndim == 3 and how == "auto":
        return Image.fromarray(_as_bytes(planes))
    one = planes if planes.ndim == 2 else planes[:, :, :3].mean(axis=2)
    return Image.fromarray(colour(one, choose_map(one, name) if how == "auto" else how))


def as_planes(array: NDArray[Any]) -> NDArray[Any]:
    """[H, W], or [H, W, 3 or 4]; of a stack the first. Raises ValueError for what is no picture."""
    if array.dtype.kind not in "biuf" or array.ndim < 2 or 0 in array.shape:
        raise ValueError(f"an array of {array.dtype} of the shape {array.shape} is no picture")
    while array.ndim > 3:
        array = array[0]
    if array.ndim == 3 and array.shape[2] not in (1, 3, 4) and array.shape[0] in (1, 3, 4):
        array = np.moveaxis(array, 0, 2)
    if array.ndim == 3 and array.shape[2] not in (3, 4):
        array = array[:, :, 0] if array.shape[2] == 1 else array[0]
    return array


def _as_bytes(planes: NDArray[Any]) -> NDArray[np.uint8]:
    if planes.dtype == np.uint8:
        return planes
    numbers = np.nan_to_num(planes.astype(np.float32), posinf=0, neginf=0)
    low, high = (0, max(1.0, float(numbers.max()))) if numbers.min() >= 0 else (float(numbers.min()), float(numbers.max()))
    scaled: NDArray[np.uint8] = ((numbers - low) / ((high - low) or 1) * 255).astype(np.uint8)
    return scaled


def shrink(image: Image.Image, exact: bool, size: tuple[int, int]) -> Image.Image:
    """To RGB or RGBA, and at most so wide and high. `exact`: no colour that is not in it, as between those of two classes."""
    has_alpha = "A" in image.getbands() or "transparency" in image.info
    image = image.convert("RGBA" if has_alpha else "RGB")
    if image.width > size[0] or image.height > size[1]:
        image.thumbnail(size, Image.Resampling.NEAREST if exact else Image.Resampling.BILINEAR)
    return image


def _encode(image: Image.Image, exact: bool, size: int) -> Picture:
    image = shrink(image, exact, (size, size))
    out = BytesIO()
    if exact or image.mode == "RGBA":
        image.save(out, "png", compress_level=1)
        return Picture(out.getvalue(), "image/png")
    image.save(out, "jpeg", quality=_QUALITY)
    return Picture(out.getvalue(), "image/jpeg")


def _first_frame(data: bytes) -> Image.Image:
    from asyncwds.codecs.video import video  # noqa: PLC0415 - an extra

    found = video(frames=1, stride=1, library="pyav")("mp4", data)
    assert found is not None  # it is of an extension that is known
    return Image.fromarray(found.frames[0])
