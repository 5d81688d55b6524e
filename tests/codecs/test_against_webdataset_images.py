"""Decoded images are WebDataset's, to the last bit."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from io import BytesIO

import numpy as np
import pytest
import webdataset
from PIL import Image
from webdataset.autodecode import IMAGE_EXTENSIONS as THEIR_EXTENSIONS

from asyncwds import Decoder, autodecode, imagehandler
from asyncwds.codecs import IMAGE_EXTENSIONS, IMAGE_SPECS

MODES = [("png", mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")]
MODES += [("jpeg", mode) for mode in ("L", "RGB", "CMYK")] + [("webp", "RGBA"), ("gif", "P"), ("tiff", "I;16"), ("ppm", "RGB")]
NUMPY_SPECS = ["l8", "rgb8", "rgba8", "l", "rgb", "rgba"]
PIL_SPECS = ["pil", "pill", "pilrgb", "pilrgba"]
TORCH_SPECS = ["torchl8", "torchrgb8", "torchrgba8", "torchl", "torchrgb", "torch", "torchrgba"]


@pytest.mark.parametrize(("kind", "mode"), MODES)
@pytest.mark.parametrize("spec", NUMPY_SPECS + PIL_SPECS)
def test_images(encoded: Callable[..., bytes], kind: str, mode: str, spec: str) -> None:
    data = encoded(mode, kind)
    ours, theirs = imagehandler(spec)(f".{kind}", data), webdataset.imagehandler(spec)(f".{kind}", data)
    assert getattr(ours, "mode", None) == getattr(theirs, "mode", None)
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
    assert ours.tobytes() == theirs.tobytes()


@pytest.mark.needs("torch")
@pytest.mark.parametrize(("kind", "mode"), MODES)
@pytest.mark.parametrize("spec", TORCH_SPECS)
def test_tensors(encoded: Callable[..., bytes], kind: str, mode: str, spec: str) -> None:
    data = encoded(mode, kind)
    ours, theirs = imagehandler(spec)(f".{kind}", data), webdataset.imagehandler(spec)(f".{kind}", data)
    assert (ours.dtype, ours.shape, ours.stride()) == (theirs.dtype, theirs.shape, theirs.stride())
    assert ours.numpy().tobytes() == theirs.numpy().tobytes()


@cache
def image_named(extension: str) -> bytes:
    """An image of the format that the extension stands for, or PNG where Pillow cannot write that: both go by the content."""
    Image.init()
    kind = Image.EXTENSION.get(f".{extension}", "PNG")
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    for mode in ("RGB", "L", "1", "P"):
        file = BytesIO()
        try:
            Image.fromarray(pixels).convert(mode).save(file, kind)
            Image.open(file).load()
        except (OSError, KeyError, ValueError, AttributeError):
            continue
        return file.getvalue()
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.mark.filterwarnings("ignore:.* image format is deprecated:DeprecationWarning")
@pytest.mark.parametrize("extension", sorted(IMAGE_EXTENSIONS & set(THEIR_EXTENSIONS)))
@pytest.mark.parametrize("specs", [NUMPY_SPECS + PIL_SPECS, pytest.param(TORCH_SPECS, marks=pytest.mark.needs("torch"))])
def test_every_image_extension(extension: str, specs: list[str]) -> None:
    data = image_named(extension)
    for spec in specs:
        ours = Decoder([spec]).decode1(f"a.{extension}", data)
        theirs = webdataset.Decoder([webdataset.imagehandler(spec)]).decode1(f"a.{extension}", data)
        assert type(ours) is type(theirs), spec
        assert str(getattr(ours, "dtype", None)) == str(getattr(theirs, "dtype", None)), spec
        assert np.array_equal(np.asarray(ours), np.asarray(theirs)), spec


def test_extensions_differ_by_those_that_pillow_only_recognises_and_those_that_webdataset_writes() -> None:
    assert set(THEIR_EXTENSIONS) - IMAGE_EXTENSIONS == {"h5", "hdf", "grib", "bufr", "mpg", "mpeg"}
    assert IMAGE_EXTENSIONS - set(THEIR_EXTENSIONS) == {"img", "image"}
    assert set(webdataset.autodecode.decoders) <= set(autodecode.decoders)
    assert set(webdataset.autodecode.imagespecs) <= set(IMAGE_SPECS)
