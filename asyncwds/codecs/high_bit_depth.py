"""Images with more than 8 bits a channel, exactly as in the file. Pillow cuts them to 8, or does not read them at all, unless they
are grey.

Read exactly: PNG, TIFF (integers and floats of any size), JPEG 2000, binary PGM and PPM, and what Pillow has as integers or
floats (FITS). One channel needs Pillow alone; for the rest there is the extra `images`.
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from asyncwds.compression.decompress import MAX_UNPACKED
from asyncwds.runtime.extras import require_extra

if TYPE_CHECKING:
    from numpy.typing import NDArray

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_J2K_SIZ = b"\xff\x4f\xff\x51"  # start of codestream and the marker after it; 38 bytes of sizes, then the precision
_BITS_PER_SAMPLE, _SAMPLE_FORMAT = 258, 339  # tags of TIFF
_GREY_AND_RGB = {1, 2}  # of its photometric interpretations
_PLANES = 2  # of its planar configurations: one channel after the other


def deep_pixels(data: bytes, raw: bool, formats: list[str] | None = None) -> NDArray[Any] | None:
    """[H, W] or [H, W, C] of the file's own numbers; None for an image of at most 8 bits a channel.

    Unless `raw`, the channels are those of grey or RGB, with or without alpha, else ValueError. `formats` are Pillow's.
    """
    try:
        image = Image.open(BytesIO(data), formats=formats)
    except UnidentifiedImageError:
        if data.startswith(_TIFF):
            return _tiff(data, raw)
        raise
    with image:
        if image.format == "TIFF":
            return _tiff(data, raw) if _needs_tifffile(image, data) else _other(image, data)
        read = _READERS.get(image.format or "", _other)
        return read(image, data)


def as_uint16(pixels: NDArray[Any], mode: str) -> NDArray[np.uint16]:
    """[H, W] or [H, W, 1 to 4] → "L", "RGB" or "RGBA"; a missing alpha is opaque. TypeError if these are no 16-bit numbers."""
    planes = pixels[:, :, None] if pixels.ndim == 2 else pixels
    channels = planes.shape[2]
    if planes.dtype != np.uint16 or channels > 4:
        raise TypeError(f"it has {channels} channels of {planes.dtype}, not 1 to 4 of uint16; the spec 'raw' takes it as it is")
    colours = planes[:, :, : 3 if channels >= 3 else 1]
    if mode == "L":
        return colours[:, :, 0] if channels < 3 else _luminance(colours)
    colours = np.broadcast_to(colours, (*planes.shape[:2], 3))
    if mode == "RGB":
        return colours
    alpha = planes[:, :, -1:] if channels in {2, 4} else np.full_like(planes[:, :, :1], 65535)
    return np.concatenate([colours, alpha], axis=2)


def _luminance(colours: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """ITU-R BT.601 as Pillow computes it, with 16 bits instead of 8."""
    weights = np.array([19595, 38470, 7471], np.uint32)
    return ((colours @ weights + np.uint32(0x8000)) >> 16).astype(np.uint16)


def _png(image: ImageFile, data: bytes) -> NDArray[Any] | None:
    if data[24] <= 8:  # bit depth, in the header that comes first
        return None
    if image.mode.startswith("I"):
        return np.array(image).astype(np.uint16)
    pixels: NDArray[Any] = require_extra("imagecodecs", "images").png_decode(data)
    return pixels


def _jpeg2000(_image: ImageFile, data: bytes) -> NDArray[Any] | None:
    precision = (data[data.index(_J2K_SIZ) + 42] & 0x7F) + 1
    if precision <= 8:
        return None
    pixels: NDArray[Any] = require_extra("imagecodecs", "images").jpeg2k_decode(data)
    return pixels


def _netpbm(image: ImageFile, data: bytes) -> NDArray[Any] | None:
    _, _, offset, args = image.tile[0]
    if args != "I;16B" and (not isinstance(args, tuple) or args[1] <= 255):  # else ("L" or "RGB", the largest number)
        return _other(image, data)
    if data[:2] not in {b"P5", b"P6"}:
        raise ValueError("of plain PGM and PPM only 8 bits can be read")
    shape = (image.height, image.width, 3) if image.mode == "RGB" else (image.height, image.width)
    return np.frombuffer(data, ">u2", count=int(np.prod(shape)), offset=offset).reshape(shape).astype(np.uint16)


def _needs_tifffile(image: ImageFile, data: bytes) -> bool:
    """Pillow is right about bytes, one channel of 16 bits, and floats of 32 (but swaps the bytes of big-endian compressed ones)."""
    tags = image.tag_v2  # type: ignore[attr-defined]
    numbers = {*tags.get(_SAMPLE_FORMAT, (1,))}
    if max(tags.get(_BITS_PER_SAMPLE, (1,))) <= 8:
        return numbers != {1}  # not unsigned
    return image.mode not in {"I;16", "I;16B"} and not (image.mode == "F" and data.startswith(b"II"))


def _tiff(data: bytes, raw: bool) -> NDArray[Any]:
    """The first page."""
    with require_extra("tifffile", "images").TiffFile(BytesIO(data)) as file:
        page = file.pages[0]
        if not raw and page.photometric not in _GREY_AND_RGB:
            raise ValueError(f"its channels are {page.photometric.name}, not grey or RGB; the spec 'raw' takes them as they are")
        if page.nbytes > MAX_UNPACKED:
            raise ValueError(f"an image of {page.nbytes} bytes; {MAX_UNPACKED} are allowed")
        pixels: NDArray[Any] = page.asarray()
    if page.planarconfig == _PLANES and pixels.ndim == 3:
        pixels = np.moveaxis(pixels, 0, -1)
    if pixels.ndim not in {2, 3}:
        raise ValueError(f"an array of the axes {page.axes} is no image")
    return pixels


def _other(image: ImageFile, _data: bytes) -> NDArray[Any] | None:
    if image.mode[0] not in "IF":
        return None
    pixels = np.array(image)
    return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)


_READERS = {"PNG": _png, "JPEG2000": _jpeg2000, "PPM": _netpbm}
