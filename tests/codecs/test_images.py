from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

from asyncwds import Decoder, decode_image, imagehandler, turbojpeg
from asyncwds.codecs import IMAGE_EXTENSIONS, IMAGE_SPECS
from asyncwds.errors import DecodeError, SpecError

MODES = ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"]
Encoded = Callable[..., bytes]


def expected(data: bytes, mode: str) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(data)).convert(mode))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("spec", "channels"), [("l8", "L"), ("rgb8", "RGB"), ("rgba8", "RGBA")])
def test_bytes_are_pillow_s_pixels(encoded: Encoded, mode: str, spec: str, channels: str) -> None:
    data = encoded(mode)
    pixels = imagehandler(spec)(".png", data)
    assert pixels.dtype == np.uint8
    assert pixels.shape == ((24, 40) if channels == "L" else (24, 40, len(channels)))
    assert np.array_equal(pixels, expected(data, channels))
    assert pixels.flags.writeable


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("spec", ["l", "rgb", "rgba"])
def test_floats_are_the_bytes_over_255(encoded: Encoded, mode: str, spec: str) -> None:
    data = encoded(mode)
    values = imagehandler(spec)(".png", data)
    assert values.dtype == np.float32
    assert np.array_equal(values, imagehandler(f"{spec}8")(".png", data).astype(np.float32) / np.float32(255))
    assert 0 <= values.min() < 0.2 < values.max() <= 1


@pytest.mark.parametrize(("spec", "mode"), [("pil", "RGB"), ("pill", "L"), ("pilrgb", "RGB"), ("pilrgba", "RGBA")])
def test_pil_images_are_loaded_and_converted(encoded: Encoded, spec: str, mode: str) -> None:
    image = imagehandler(spec)(".png", encoded("P"))
    assert (image.mode, image.size) == (mode, (40, 24))
    assert np.array_equal(np.asarray(image), expected(encoded("P"), mode))


@pytest.mark.parametrize("key", [".png", ".PNG", ".seg.png", ".jpg", "png"])
def test_the_last_extension_decides_not_the_content(encoded: Encoded, key: str) -> None:
    assert imagehandler("rgb8")(key, encoded("RGB")).shape == (24, 40, 3)


@pytest.mark.parametrize("key", [".txt", ".png.txt", ".", ".png.gz", ".h5", ".mpg", ".pngx"])
def test_other_fields_are_left_alone(encoded: Encoded, key: str) -> None:
    assert imagehandler("rgb8")(key, encoded("RGB")) is None


def test_the_extensions_can_be_chosen(encoded: Encoded) -> None:
    handler = imagehandler("rgb8", ["raw"])
    assert handler(".raw", encoded("RGB")).shape == (24, 40, 3)
    assert handler(".png", encoded("RGB")) is None


def test_every_extension_is_one_that_pillow_reads() -> None:
    Image.init()
    readable = {extension[1:] for extension, kind in Image.EXTENSION.items() if kind in Image.OPEN}
    assert readable | {"img", "image"} >= IMAGE_EXTENSIONS


@pytest.mark.parametrize("content", [b"", b"junk", b"\x89PNG\r\n\x1a\n", None])
def test_what_is_no_whole_image_raises(encoded: Encoded, content: bytes | None) -> None:
    data = encoded("RGB")[:300] if content is None else content
    with pytest.raises((OSError, SyntaxError)):
        imagehandler("rgb8")(".png", data)


@pytest.mark.parametrize("spec", ["", "RGB8", "rgb32", "torchrgbraw", "numpy"])
def test_an_unknown_spec_is_an_error_at_once(spec: str) -> None:
    for make in (imagehandler, turbojpeg):
        with pytest.raises(SpecError, match="torchrgb8"):
            make(spec)


def test_handlers_pickle_and_print() -> None:
    handler = imagehandler("l8", ["png"])
    assert pickle.loads(pickle.dumps(handler)) == handler
    assert "l8" in repr(handler)
    assert set(IMAGE_SPECS) >= {"torch", "pil", "rgb"}


def test_a_missing_library_is_named_when_the_handler_is_made() -> None:
    code = """
import sys
sys.modules.update(torch=None, simplejpeg=None)
import importlib.util
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name: None if name in {"torch", "simplejpeg"} else find_spec(name)
from asyncwds import imagehandler, turbojpeg
for make, spec in ((imagehandler, "torchrgb"), (turbojpeg, "rgb8")):
    try:
        make(spec)
    except ValueError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "asyncwds[torch]" in done.stdout
    assert "asyncwds[turbo]" in done.stdout


@pytest.mark.parametrize(
    ("mode", "dtype", "channels"),
    [("1", "bool", 0), ("L", "uint8", 0), ("P", "uint8", 0), ("LA", "uint8", 2), ("RGB", "uint8", 3), ("RGBA", "uint8", 4)],
)
def test_raw_is_what_the_file_has(encoded: Encoded, mode: str, dtype: str, channels: int) -> None:
    pixels = imagehandler("raw")(".png", encoded(mode))
    assert pixels.dtype == dtype
    assert pixels.shape == ((24, 40, channels) if channels else (24, 40))
    assert np.array_equal(pixels, np.asarray(Image.open(BytesIO(encoded(mode)))))
    image = imagehandler("pilraw")(".png", encoded(mode))
    assert image.mode == mode
    assert np.array_equal(np.asarray(image), pixels)


def test_grey_of_16_bits_needs_pillow_only(encoded: Encoded) -> None:
    for kind in ("png", "tiff"):
        deep = imagehandler("raw")(f".{kind}", encoded("I;16", kind))
        assert deep.dtype == np.uint16
        assert deep.max() > 255
        assert np.array_equal(deep, np.asarray(Image.open(BytesIO(encoded("I;16", kind)))))
        assert np.array_equal(imagehandler("l16")(f".{kind}", encoded("I;16", kind)), deep)
        assert imagehandler("rgb16")(f".{kind}", encoded("I;16", kind)).shape == (24, 40, 3)


def test_images_under_the_names_that_webdataset_writes(encoded: Encoded) -> None:
    for field in (".img", ".image", ".a.IMG"):
        assert imagehandler("rgb8")(field, encoded("RGB", "jpeg")).shape == (24, 40, 3)


def test_secure_mode_runs_no_ghostscript(monkeypatch: pytest.MonkeyPatch, encoded: Encoded) -> None:
    """Pillow goes by the content and would start it for a field of any image extension."""
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"
    assert Image.open(BytesIO(eps)).format == "EPS"
    monkeypatch.setenv("WDS_SECURE", "1")
    for spec in ("rgb8", "pil", "l16", "raw"):
        with pytest.raises(OSError, match="cannot identify"):
            imagehandler(spec)(".jpg", eps)
        assert imagehandler(spec)(".jpg", encoded("RGB", "jpeg")) is not None


def animated(mode: str) -> bytes:
    frames = [Image.new(mode, (40, 24), colour) for colour in ("red", "blue")]
    file = BytesIO()
    frames[0].save(file, "webp", save_all=True, append_images=frames[1:], lossless=True)
    return file.getvalue()


def transparent(kind: str, **options: Any) -> bytes:
    """Colours under what is transparent all over, and by half."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (24, 40, 4), np.uint8)
    pixels[:, :20, 3] = 0
    file = BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def saved(mode: str, kind: str, **options: Any) -> bytes:
    random = np.random.default_rng(0)
    file = BytesIO()
    Image.fromarray(random.integers(0, 256, (24, 41, 3), np.uint8)).convert(mode).save(file, kind, **options)
    return file.getvalue()


FILES = {
    "PNG, one colour transparent": lambda: saved("RGB", "png", transparency=(1, 2, 3)),
    "PNG, one grey transparent": lambda: saved("L", "png", transparency=7),
    "PNG, alpha": lambda: transparent("png"),
    "PNG, gamma": lambda: saved("RGB", "png", gamma=2.2),
    "PNG, profile": lambda: saved("RGB", "png", icc_profile=bytes(200)),
    "WebP, lossy": lambda: saved("RGB", "webp", quality=60),
    "WebP, lossless": lambda: saved("RGB", "webp", lossless=True),
    "WebP, grey": lambda: saved("L", "webp"),
    "WebP, with metadata": lambda: saved("RGB", "webp", exif=b"Exif\0\0II*\0"),
    "WebP, lossy, alpha": lambda: transparent("webp", quality=60),
    "WebP, lossless, alpha": lambda: transparent("webp", lossless=True),
    "WebP, exact alpha": lambda: transparent("webp", lossless=True, exact=True),
    "WebP, frames": lambda: animated("RGB"),
    "WebP, frames with alpha": lambda: animated("RGBA"),
}


@pytest.mark.parametrize("kind", FILES)
def test_pngs_and_webps_have_pillow_s_pixels(kind: str) -> None:
    """Also where imagecodecs reads some of them."""
    data = FILES[kind]()
    for spec, mode in (("l8", "L"), ("rgb8", "RGB"), ("rgba8", "RGBA")):
        assert np.array_equal(decode_image(data, spec), expected(data, mode)), spec
    for end in (8, 20, 32, 40, len(data) // 2, len(data) - 30):
        with pytest.raises((OSError, SyntaxError)):
            decode_image(data[:end], "rgb8")


def test_the_bound_of_pixels_holds_for_pngs_and_webps(monkeypatch: pytest.MonkeyPatch) -> None:
    for options in (
        {"kind": "png"},
        {"kind": "webp"},
        {"kind": "webp", "lossless": True},
        {"kind": "webp", "exif": b"Exif\0\0II*\0"},
    ):
        data = saved("RGB", **options)
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 24 * 41 // 2 - 1)
        with pytest.raises(Image.DecompressionBombError):
            decode_image(data, "rgb8")
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 24 * 41)
        assert decode_image(data, "rgb8").shape == (24, 41, 3)


def test_what_is_said_of_an_image_that_is_none_is_the_same_each_time() -> None:
    said = set()
    for _ in range(2):
        with pytest.raises(DecodeError, match="cannot identify image file") as caught:
            Decoder(["pil"])({"__key__": "a", "jpg": b"<html>"})
        said.add(str(caught.value))
    assert len(said) == 1
    assert "0x" not in said.pop()
