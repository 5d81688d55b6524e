"""Images of more than 8 bits a channel keep every bit."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from asyncwds import Decoder, imagehandler
from asyncwds.codecs import as_uint16
from asyncwds.errors import DecodeError

Encoded = Callable[..., bytes]
HEIGHT, WIDTH = 24, 40
CHANNELS = {"l16": 1, "rgb16": 3, "rgba16": 4}


def noise(dtype: str, channels: int = 1) -> np.ndarray:
    random = np.random.default_rng(channels)
    shape = (HEIGHT, WIDTH) if channels == 1 else (HEIGHT, WIDTH, channels)
    if np.dtype(dtype).kind == "f":
        return random.normal(size=shape).astype(dtype)
    return random.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def tiff(pixels: np.ndarray, **options: Any) -> bytes:
    file = BytesIO()
    colours = "rgb" if pixels.ndim == 3 and options.get("planarconfig") != "separate" else "minisblack"
    tifffile.imwrite(file, pixels, **{"photometric": colours, **options})
    return file.getvalue()


def same(decoded: np.ndarray, pixels: np.ndarray) -> bool:
    assert decoded.dtype == pixels.dtype
    assert decoded.shape == pixels.shape
    assert decoded.flags.writeable
    return bool(np.array_equal(decoded, pixels))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_png_of_16_bits(channels: int) -> None:
    pixels = noise("uint16", channels)
    assert same(imagehandler("raw")(".png", imagecodecs.png_encode(pixels)), pixels)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float16", "float32", "float64"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_tiff_of_any_numbers(dtype: str, channels: int, compression: str | None, order: str) -> None:
    pixels = noise(dtype, channels)
    decoded = imagehandler("raw")(".tif", tiff(pixels, compression=compression, byteorder=order))
    assert same(decoded, pixels)


def test_tiff_of_planes_of_pages_and_of_more_channels() -> None:
    pixels = noise("uint16", 3)
    planes = np.ascontiguousarray(np.moveaxis(pixels, -1, 0))
    assert same(imagehandler("raw")(".tiff", tiff(planes, photometric="rgb", planarconfig="separate")), pixels)
    assert same(
        imagehandler("raw")(".tiff", tiff(noise("uint16", 3)[None].repeat(2, axis=0), photometric="rgb")), noise("uint16", 3)
    )
    spectrum = noise("float32", 7)
    assert same(imagehandler("raw")(".tiff", tiff(spectrum, photometric="minisblack", planarconfig="contig")), spectrum)


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_2000(channels: int) -> None:
    for pixels in (noise("uint16", channels), noise("uint8", channels)):
        assert same(imagehandler("raw")(".jp2", imagecodecs.jpeg2k_encode(pixels, level=0)), pixels)
    twelve = noise("uint16", channels) >> 4
    data = imagecodecs.jpeg2k_encode(twelve, level=0, bitspersample=12)
    assert same(imagehandler("raw")(".jp2", data), twelve)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("largest", [65535, 1023])
def test_netpbm(channels: int, largest: int) -> None:
    pixels = noise("uint16", channels) & largest
    data = f"P{5 if channels == 1 else 6}\n{WIDTH} {HEIGHT}\n{largest}\n".encode() + pixels.astype(">u2").tobytes()
    assert same(imagehandler("raw")(".ppm", data), pixels)
    with pytest.raises(ValueError, match="buffer"):
        imagehandler("raw")(".ppm", data[:-1])


def test_plain_netpbm_has_8_bits_or_is_refused() -> None:
    assert imagehandler("raw")(".pgm", b"P2 2 1 255\n7 8\n").tolist() == [[7, 8]]
    with pytest.raises(ValueError, match="only 8 bits"):
        imagehandler("raw")(".ppm", b"P3 1 1 65535\n7 8 9\n")


def test_fits() -> None:
    cards = ["SIMPLE  =                    T", "BITPIX  =                  -32", "NAXIS   =                    2"]
    cards += [f"NAXIS1  = {WIDTH:20}", f"NAXIS2  = {HEIGHT:20}", "END"]
    header = "".join(card.ljust(80) for card in cards).ljust(2880).encode()
    pixels = noise("float32")
    data = header + pixels[::-1].astype(">f4").tobytes().ljust(5760, b"\0")
    assert imagehandler("raw")(".fits", data).dtype == np.float32


# -- uint16


@pytest.mark.parametrize("spec", CHANNELS)
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("encode", [imagecodecs.png_encode, tiff], ids=["png", "tiff"])
def test_16_bits_become_the_channels_asked_for(spec: str, channels: int, encode: Callable[..., bytes]) -> None:
    pixels = noise("uint16", channels)
    options = {"photometric": "minisblack", "planarconfig": "contig"} if channels == 2 and encode is tiff else {}
    data = encode(pixels, **options)
    decoded = imagehandler(spec)(".png" if encode is not tiff else ".tif", data)
    assert decoded.dtype == np.uint16
    assert decoded.shape == ((HEIGHT, WIDTH) if spec == "l16" else (HEIGHT, WIDTH, CHANNELS[spec]))
    if spec == "l16" and channels <= 2:
        assert np.array_equal(decoded, pixels if channels == 1 else pixels[:, :, 0])
    elif spec != "l16":
        colours = pixels[:, :, None] if channels == 1 else pixels[:, :, : 1 if channels == 2 else 3]
        assert np.array_equal(decoded[:, :, :3], np.broadcast_to(colours, (HEIGHT, WIDTH, 3)))
        if spec == "rgba16":
            assert np.array_equal(decoded[:, :, 3], pixels[:, :, -1] if channels in {2, 4} else np.full((HEIGHT, WIDTH), 65535))


def test_the_grey_of_16_bits_is_that_of_8_bits(encoded: Encoded) -> None:
    colours = np.asarray(Image.open(BytesIO(encoded("RGB")))).astype("uint16") * 257
    wide = imagehandler("l16")(".png", imagecodecs.png_encode(colours))
    assert np.abs(wide / 257 - imagehandler("l8")(".png", encoded("RGB"))).max() <= 0.5 + 1 / 257
    white = np.full((1, 1, 3), 65535, np.uint16)
    assert as_uint16(white, "L").tolist() == [[65535]]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
@pytest.mark.parametrize("spec", CHANNELS)
def test_8_bits_are_stretched(encoded: Encoded, mode: str, spec: str) -> None:
    wide, narrow = (imagehandler(name)(".png", encoded(mode)) for name in (spec, spec.replace("16", "8")))
    assert wide.dtype == np.uint16
    assert np.array_equal(wide, narrow.astype("uint16") * 257)


@pytest.mark.parametrize("spec", CHANNELS)
def test_other_numbers_are_refused_rather_than_cut(spec: str) -> None:
    for pixels in (noise("float32"), noise("int32"), noise("float32", 3), noise("uint16", 5)):
        data = tiff(pixels, photometric="minisblack", planarconfig=None if pixels.ndim == 2 else "contig")
        with pytest.raises(DecodeError, match="the spec 'raw' takes it as it is"):
            Decoder([spec])({"__key__": "k", "tif": data})


def test_inks_are_no_colours() -> None:
    data = tiff(noise("uint16", 4), photometric="separated")
    assert same(imagehandler("raw")(".tif", data), noise("uint16", 4))
    with pytest.raises(ValueError, match="SEPARATED"):
        imagehandler("rgb16")(".tif", data)


# -- broken


@pytest.mark.parametrize("left", [40, 0.3, 0.9])
@pytest.mark.parametrize("spec", ["raw", "rgb16"])
def test_fault_27_a_truncated_image(spec: str, left: float) -> None:
    pixels = noise("uint16", 3)
    for field, data in {
        "png": imagecodecs.png_encode(pixels),
        "tif": tiff(pixels),
        "lzw.tif": tiff(pixels, compression="lzw"),
        "jp2": imagecodecs.jpeg2k_encode(pixels, level=0),
    }.items():
        size = int(left) if left > 1 else int(left * len(data))
        with pytest.raises(DecodeError) as caught:
            Decoder([spec])({"__key__": "k", field: data[:size]})
        assert caught.value.field == field


def test_a_huge_image_is_refused_before_it_is_read() -> None:
    """Ten gigabytes of pixels, from a few bytes."""
    png = bytearray(imagecodecs.png_encode(noise("uint16", 3)))
    png[16:24] = (40_000).to_bytes(4, "big") * 2
    with pytest.raises(DecodeError):
        Decoder(["rgb16"])({"png": bytes(png)})


@pytest.mark.needs("torch")
def test_tensors(encoded: Encoded) -> None:
    import torch

    pixels = noise("uint16", 3)
    for spec in ("torchraw", "torchrgb16"):
        tensor = imagehandler(spec)(".png", imagecodecs.png_encode(pixels))
        assert tensor.dtype == torch.uint16
        assert tensor.is_contiguous()
        assert np.array_equal(tensor.numpy(), pixels.transpose(2, 0, 1))
    assert imagehandler("torchl16")(".png", encoded("L")).shape == (24, 40)
    assert imagehandler("torchraw")(".tif", tiff(noise("float32"))).dtype == torch.float32
