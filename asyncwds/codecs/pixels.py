"""Image bytes → pixels as Pillow has them, by the fastest of the libraries that are installed."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

from asyncwds.codecs.jpeg import Choice, first_rows, read_jpeg
from asyncwds.codecs.png_webp import read_png_or_webp
from asyncwds.runtime.security import secure_mode

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile


def read_pixels(data: bytes, mode: str, choose: Choice | None = None, out: NDArray[Any] | None = None) -> NDArray[Any]:
    """[H, W] for "L", [H, W, C] for "RGB" and "RGBA", of bytes; in `out` where the library can write there.

    `choose` is asked for the scale of a JPEG, and how much of it is needed; there may be more rows than that.
    """
    import numpy as np  # noqa: PLC0415 - heavy
    from PIL import Image  # noqa: PLC0415 - heavy

    # Above it Pillow warns, or raises.
    bound = float("inf") if Image.MAX_IMAGE_PIXELS is None else Image.MAX_IMAGE_PIXELS
    pixels = read_jpeg(data, mode, choose, bound, out)
    if pixels is None:
        pixels = read_png_or_webp(data, mode, bound)
    if pixels is None:
        return np.array(read_image(data, mode, choose))
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    if channels == len(mode):
        return pixels
    if (channels, mode) == (4, "RGB"):
        return pixels[:, :, :3]
    return np.array(Image.fromarray(pixels).convert(mode))


def read_image(data: bytes, mode: str, choose: Choice | None = None) -> Image:
    """A PIL image, read and converted; "" is the file's own mode. `choose` as for `read_pixels`."""
    with open_image(data) as opened:
        if choose is None or opened.format not in {"JPEG", "MPO"}:
            return _converted(opened, mode)
        factor, needed = choose(opened.height, opened.width)
        upper, rows = first_rows(data, opened.height, needed)
        if rows == opened.height:
            return _converted(_drafted(opened, factor), mode)
    with open_image(upper) as opened:
        return _converted(_drafted(opened, factor), mode)


def open_image(data: bytes) -> ImageFile:
    """Pillow's, its pixels not yet read. In secure mode no EPS: it goes by the content, and runs Ghostscript."""
    from PIL import Image  # noqa: PLC0415 - heavy

    return Image.open(BytesIO(data), formats=formats())


def formats() -> list[str] | None:
    """What Pillow may try; None is everything."""
    if not secure_mode():
        return None
    from PIL import Image  # noqa: PLC0415 - heavy

    Image.init()
    return [name for name in Image.OPEN if name != "EPS"]


def _drafted(opened: ImageFile, factor: int) -> ImageFile:
    if factor > 1:
        opened.draft(None, (opened.width // factor, opened.height // factor))
    return opened


def _converted(opened: ImageFile, mode: str) -> Image:
    return opened.convert(mode) if mode else opened.copy()
