"""Image bytes → arrays, tensors or PIL images, by WebDataset's specs and some more: (container)(channels)(numbers).

    container   none: NumPy, "torch", "pil"
    channels    "l" grey, "rgb", "rgba"; "torch" and "pil" alone mean rgb
    numbers     "8" uint8, 0..255; without it float32, 0..1 (PIL images are always as PIL has them)
                "16" uint16: exactly the file's numbers if it has 16 bits, those of 8 bits times 257
    "raw"       in place of channels and numbers: all as in the file, see below

Shapes: NumPy [H, W, C], torch [C, H, W], grey [H, W] in both. Whatever the file has is converted as Pillow does it:
alpha is dropped, palettes are resolved, and with other specs than "16" and "raw" 16 bits are clipped to 8. EXIF orientation
is left to the user.

"raw" converts nothing: grey or one channel is [H, W], others are [H, W, C]; integers and floats have their own type;
of a palette these are the indices (as in masks of classes), of one bit bools.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from io import BytesIO
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from asyncwds import checks
from asyncwds.errors import SpecError
from asyncwds.runtime.extras import require_extra
from asyncwds.runtime.security import secure_mode

if TYPE_CHECKING:
    from numpy.typing import NDArray


class ImageSpec(NamedTuple):
    container: Literal["numpy", "torch", "pil"]
    mode: Literal["L", "RGB", "RGBA", ""]  # "" is that of the file
    numbers: Literal["uint8", "float32", "uint16", "any"]


IMAGE_SPECS = {
    "l8": ImageSpec("numpy", "L", "uint8"),
    "rgb8": ImageSpec("numpy", "RGB", "uint8"),
    "rgba8": ImageSpec("numpy", "RGBA", "uint8"),
    "l": ImageSpec("numpy", "L", "float32"),
    "rgb": ImageSpec("numpy", "RGB", "float32"),
    "rgba": ImageSpec("numpy", "RGBA", "float32"),
    "torchl8": ImageSpec("torch", "L", "uint8"),
    "torchrgb8": ImageSpec("torch", "RGB", "uint8"),
    "torchrgba8": ImageSpec("torch", "RGBA", "uint8"),
    "torchl": ImageSpec("torch", "L", "float32"),
    "torchrgb": ImageSpec("torch", "RGB", "float32"),
    "torch": ImageSpec("torch", "RGB", "float32"),
    "torchrgba": ImageSpec("torch", "RGBA", "float32"),
    "pill": ImageSpec("pil", "L", "any"),
    "pil": ImageSpec("pil", "RGB", "any"),
    "pilrgb": ImageSpec("pil", "RGB", "any"),
    "pilrgba": ImageSpec("pil", "RGBA", "any"),
    # Not WebDataset's:
    "l16": ImageSpec("numpy", "L", "uint16"),
    "rgb16": ImageSpec("numpy", "RGB", "uint16"),
    "rgba16": ImageSpec("numpy", "RGBA", "uint16"),
    "raw": ImageSpec("numpy", "", "any"),
    "torchl16": ImageSpec("torch", "L", "uint16"),
    "torchrgb16": ImageSpec("torch", "RGB", "uint16"),
    "torchrgba16": ImageSpec("torch", "RGBA", "uint16"),
    "torchraw": ImageSpec("torch", "", "any"),
    "pilraw": ImageSpec("pil", "", "any"),
}

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
    """Decodes the fields whose last extension is one of `extensions`, with Pillow. Raises SpecError for an unknown spec."""

    imagespec: str
    extensions: frozenset[str] = IMAGE_EXTENSIONS

    def __post_init__(self) -> None:
        image_spec(self.imagespec)

    def __call__(self, key: str, data: bytes) -> Any:
        if last_extension(key) not in self.extensions:
            return None
        spec = IMAGE_SPECS[self.imagespec]
        if spec.container == "pil":
            return _image(data, spec)
        return pack_pixels(_exact(data, spec) if spec.numbers in {"uint16", "any"} else _array(data, spec), spec)


@dataclass(frozen=True, slots=True)
class TurboJpegHandler:
    """Decodes JPEGs with simplejpeg: to the pixels that Pillow gives, except that grey is the JPEG's own luminance.

    1.4 ms against Pillow's 2.2 for 500 x 400 pixels of quality 90. Fields that hold no JPEG, or one in CMYK, which it
    would give in false colours, are left to the next handler.
    """

    spec: str

    def __post_init__(self) -> None:
        if image_spec(self.spec).numbers not in {"uint8", "float32"}:
            raise SpecError(f"turbojpeg makes arrays and tensors of uint8 and float32, not PIL images or others: {self.spec!r}")
        if find_spec("simplejpeg") is None:
            raise SpecError("turbojpeg needs simplejpeg: pip install 'asyncwds[turbo]'")

    def __call__(self, key: str, data: bytes) -> Any:
        # Among the .jpg files of data sets from the web are many PNGs.
        if last_extension(key) not in JPEG_EXTENSIONS or not data.startswith(b"\xff\xd8\xff"):
            return None
        import simplejpeg  # noqa: PLC0415 - an extra

        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        if colours in {"CMYK", "YCCK"}:
            return None
        _require_pixels(height * width)
        spec = IMAGE_SPECS[self.spec]
        pixels = simplejpeg.decode_jpeg(data, "GRAY" if spec.mode == "L" else spec.mode)
        return pack_pixels(pixels[:, :, 0] if spec.mode == "L" else pixels, spec)


def imagehandler(imagespec: str, extensions: str | Iterable[str] = IMAGE_EXTENSIONS) -> ImageHandler:
    """A handler for `decode` that turns image fields into what `imagespec` says: `imagehandler("rgb8", ["avif"])`."""
    return ImageHandler(imagespec, extension_set("imagehandler", extensions))


def turbojpeg(spec: str) -> TurboJpegHandler:
    """A handler for `decode`: JPEGs by simplejpeg, all others by the next handler: `.decode(turbojpeg("rgb8"), "rgb8")`.

    Raises SpecError for an unknown spec, one for PIL images, and where the extra `turbo` is not installed.
    """
    return TurboJpegHandler(spec)


def image_spec(name: str) -> ImageSpec:
    checks.text("an image spec", name)
    spec = IMAGE_SPECS.get(name)
    if spec is None:
        raise SpecError(f"unknown image spec {name!r}; there are {' '.join(IMAGE_SPECS)}")
    if spec.container == "torch" and find_spec("torch") is None:
        raise SpecError(f"the image spec {name!r} needs torch: pip install 'asyncwds[torch]'")
    return spec


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


def _image(data: bytes, spec: ImageSpec) -> Any:
    """A PIL image, read and converted."""
    from PIL import Image  # noqa: PLC0415 - heavy

    with Image.open(BytesIO(data), formats=_formats()) as opened:
        return opened.convert(spec.mode) if spec.mode else opened.copy()


def _array(data: bytes, spec: ImageSpec) -> NDArray[Any]:
    import numpy as np  # noqa: PLC0415 - heavy

    return np.array(_image(data, spec))


def _exact(data: bytes, spec: ImageSpec) -> NDArray[Any]:
    """[H, W] or [H, W, C] with all bits that the file has."""
    import numpy as np  # noqa: PLC0415 - heavy

    from asyncwds.codecs import high_bit_depth  # noqa: PLC0415 - heavy

    pixels = high_bit_depth.deep_pixels(data, spec.numbers == "any", _formats())
    if spec.numbers == "any":
        return _array(data, spec) if pixels is None else pixels
    if pixels is None:
        return _array(data, spec).astype(np.uint16) * np.uint16(257)
    return high_bit_depth.as_uint16(pixels, spec.mode)


def _formats() -> list[str] | None:
    """What Pillow may try. Not EPS in secure mode: it goes by the content, whatever the extension, and runs Ghostscript."""
    if not secure_mode():
        return None
    from PIL import Image  # noqa: PLC0415 - heavy

    Image.init()
    return [name for name in Image.OPEN if name != "EPS"]


def pack_pixels(pixels: NDArray[Any], spec: ImageSpec) -> Any:
    """[H, W], [H, W, C] or [T, H, W, C] → what the spec says."""
    import numpy as np  # noqa: PLC0415 - heavy

    if spec.container == "torch" and pixels.ndim > 2:
        pixels = np.ascontiguousarray(np.moveaxis(pixels, -1, -3))  # as bytes: a quarter of what the floats would be
    array = np.divide(pixels, 255, dtype=np.float32) if spec.numbers == "float32" else np.ascontiguousarray(pixels)
    return as_tensor(array) if spec.container == "torch" else array


def as_tensor(array: NDArray[Any]) -> Any:
    return require_extra("torch", "torch").from_numpy(array)
