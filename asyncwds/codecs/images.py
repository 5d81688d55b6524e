"""The handlers of image fields, and images by themselves: bytes → what a spec says, see `image_specs`.

With `min_size` JPEGs are decoded at 1/2, 1/4 or 1/8 of their size where their shorter side still has so many pixels.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from asyncwds import checks
from asyncwds.codecs import pixels
from asyncwds.codecs.image_specs import IMAGE_SPECS, ImageSpec, image_spec, pack_pixels, slot_of
from asyncwds.codecs.jpeg import Choice, factor_for, is_jpeg
from asyncwds.errors import SpecError

if TYPE_CHECKING:
    from numpy.typing import NDArray


# What Pillow decodes (ps and eps with Ghostscript, wmf and emf on Windows), and what WebDataset writes images as. Its list
# also has formats that Pillow only recognises: h5 hdf grib bufr mpg mpeg.
IMAGE_EXTENSIONS = frozenset(
    {
        *("jpg", "jpeg", "jpe", "jfif", "jp2", "j2k", "jpc", "jpf", "jpx", "j2c"),
        *("png", "apng", "gif", "webp", "bmp", "dib", "tif", "tiff", "ico", "cur", "icns"),
        *("pbm", "pgm", "ppm", "pnm", "xbm", "xpm", "pcx", "dcx", "pcd", "psd", "pxr", "gbr"),
        *("bw", "rgb", "rgba", "sgi", "ras", "tga", "icb", "vda", "vst", "im", "msp"),
        *("blp", "dds", "fli", "flc", "ftc", "ftu", "fit", "fits", "iim", "ps", "eps", "wmf", "emf"),
        *("img", "image"),
    }
)
JPEG_EXTENSIONS = frozenset({"jpg", "jpeg", "jpe", "jfif"})


@dataclass(frozen=True, slots=True)
class ImageHandler:
    """Decodes the fields whose last extension is one of `extensions`. Raises SpecError for an unknown spec."""

    imagespec: str
    extensions: frozenset[str] = IMAGE_EXTENSIONS
    min_size: int | None = None

    def __post_init__(self) -> None:
        image_spec(self.imagespec)

    def __call__(self, key: str, data: bytes) -> Any:
        if last_extension(key) not in self.extensions:
            return None
        return _decode(data, IMAGE_SPECS[self.imagespec], self.min_size)


@dataclass(frozen=True, slots=True)
class TurboJpegHandler:
    """Decodes JPEGs with simplejpeg: to the pixels that Pillow gives, except that grey is the JPEG's own luminance.

    Fields that hold no JPEG, or one in CMYK, which it would give in false colours, are left to the next handler.
    """

    spec: str

    def __post_init__(self) -> None:
        if image_spec(self.spec).numbers not in {"uint8", "float32"}:
            raise SpecError(f"turbojpeg makes arrays and tensors of uint8 and float32, not PIL images or others: {self.spec!r}")
        if find_spec("simplejpeg") is None:
            raise SpecError("turbojpeg needs simplejpeg: pip install 'asyncwds[turbo]'")

    def __call__(self, key: str, data: bytes) -> Any:
        # Among the .jpg files of data sets from the web are many PNGs.
        if last_extension(key) not in JPEG_EXTENSIONS or not is_jpeg(data):
            return None
        import simplejpeg  # noqa: PLC0415 - an extra

        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        if colours in {"CMYK", "YCCK"}:
            return None
        _require_pixels(height * width)
        spec = IMAGE_SPECS[self.spec]
        decoded = simplejpeg.decode_jpeg(data, "GRAY" if spec.mode == "L" else spec.mode)
        return pack_pixels(decoded[:, :, 0] if spec.mode == "L" else decoded, spec)


def imagehandler(imagespec: str, extensions: str | Iterable[str] = IMAGE_EXTENSIONS, min_size: int | None = None) -> ImageHandler:
    """A handler for `decode` that turns image fields into what `imagespec` says: `imagehandler("rgb8", ["avif"])`.

    With `min_size` [pixels] JPEGs are decoded at 1/2, 1/4 or 1/8 of their size, as small as they can be with a shorter side of at
    least that; those that are smaller, and other formats, are decoded as they are.
    """
    return ImageHandler(imagespec, extension_set("imagehandler", extensions), checked_min_size("imagehandler", min_size))


def decode_image(data: bytes, imagespec: str, *, min_size: int | None = None, out: Any = None) -> Any:
    """An image as `imagespec` says, as `imagehandler` makes it; written to `out` where that is given, such as a slot of a batch.

    `out` is an array, or a tensor on the CPU, of the dtype that the spec has and the shape that the image has. Raises DecodeError
    for an image of another shape, SpecError for an `out` that is of no use, and what Pillow raises for broken data.
    """
    spec = image_spec(imagespec)
    checks.instance("decode_image: data", data, bytes)
    decoded = _decode(data, spec, checked_min_size("decode_image", min_size), out)
    return decoded if out is None else out


def turbojpeg(spec: str) -> TurboJpegHandler:
    """A handler for `decode`: JPEGs by simplejpeg, all others by the next handler: `.decode(turbojpeg("rgb8"), "rgb8")`.

    Raises SpecError for an unknown spec, one for PIL images, and where the extra `turbo` is not installed.
    """
    return TurboJpegHandler(spec)


def extension_set(caller: str, extensions: str | Iterable[str]) -> frozenset[str]:
    """Extensions as they are compared with those of fields: in lower case, without a dot."""
    return frozenset([name.lower().lstrip(".") for name in checks.names(f"{caller}: extensions", extensions)])


def last_extension(key: str) -> str:
    return key.rpartition(".")[2].lower()


def _require_pixels(count: int) -> None:
    """Pillow's own bound, where something else decodes."""
    from PIL import Image  # noqa: PLC0415 - heavy

    if Image.MAX_IMAGE_PIXELS is not None and count > 2 * Image.MAX_IMAGE_PIXELS:
        raise Image.DecompressionBombError(f"an image of {count} pixels; PIL.Image.MAX_IMAGE_PIXELS is half of what is allowed")


def checked_min_size(caller: str, min_size: int | None) -> int | None:
    return None if min_size is None else checks.whole(f"{caller}: min_size", min_size, 1)


def _decode(data: bytes, spec: ImageSpec, min_size: int | None, out: Any = None) -> Any:
    choose = None if min_size is None else _smallest(min_size)
    if spec.container == "pil":
        checks.require(out is None, "a PIL image is not written to an array: out goes with specs for NumPy and torch")
        return pixels.read_image(data, spec.mode, choose)
    slot = None if out is None else slot_of(out, spec)
    if spec.numbers in {"uint16", "any"}:
        return pack_pixels(_exact(data, spec, choose), spec, slot)
    inner = slot if slot is not None and spec.numbers == "uint8" and (spec.container == "numpy" or spec.mode == "L") else None
    return pack_pixels(pixels.read_pixels(data, spec.mode, choose, inner), spec, slot)


def _smallest(min_size: int) -> Choice:
    return lambda height, width: (factor_for(min(height, width), min_size), height)


def _exact(data: bytes, spec: ImageSpec, choose: Choice | None) -> NDArray[Any]:
    """[H, W] or [H, W, C] with all bits that the file has."""
    import numpy as np  # noqa: PLC0415 - heavy

    from asyncwds.codecs import high_bit_depth  # noqa: PLC0415 - heavy

    deep = high_bit_depth.deep_pixels(data, spec.numbers == "any", pixels.formats())
    if spec.numbers == "any":
        return np.array(pixels.read_image(data, "", choose)) if deep is None else deep
    if deep is None:
        return pixels.read_pixels(data, spec.mode, choose).astype(np.uint16) * np.uint16(257)
    return high_bit_depth.as_uint16(deep, spec.mode)
