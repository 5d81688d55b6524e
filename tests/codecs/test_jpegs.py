"""JPEGs have the pixels that Pillow gives, whichever library decodes them, and whatever is wrong with them."""

from __future__ import annotations

from functools import cache
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

from asyncwds import Decoder, decode_image, imagehandler
from asyncwds.codecs import first_rows, read_image, read_jpeg
from asyncwds.errors import DecodeError, SpecError

ORIENTED = Image.Exif()
ORIENTED[0x0112] = 6  # to be turned by whoever shows it

KINDS: dict[str, dict[str, Any]] = {
    "grey": {"mode": "L"},
    "4:4:4": {"subsampling": "4:4:4"},
    "4:2:2": {"subsampling": "4:2:2"},
    "4:2:0": {"subsampling": "4:2:0"},
    "progressive": {"progressive": True, "subsampling": "4:2:0"},
    "progressive grey": {"progressive": True, "mode": "L"},
    "restart markers": {"restart_marker_blocks": 5},
    "coarse": {"quality": 5},
    "in RGB": {"keep_rgb": True},
    "in CMYK": {"mode": "CMYK"},
    "oriented": {"exif": ORIENTED},
}
SIZES = [(1, 1), (7, 9), (16, 16), (33, 17), (75, 99)]


@cache
def jpeg(kind: str, height: int = 75, width: int = 99) -> bytes:
    random = np.random.default_rng(height)
    coarse = random.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3))
    pixels = np.kron(coarse, np.ones((8, 8, 1)))[:height, :width] + random.integers(-9, 10, (height, width, 3))
    options = {"quality": 85, **KINDS[kind]}
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).convert(options.pop("mode", "RGB"))
    file = BytesIO()
    image.save(file, "jpeg", **options)
    return file.getvalue()


def by_pillow(data: bytes, mode: str, factor: int = 1) -> np.ndarray:
    image = Image.open(BytesIO(data))
    if factor > 1:
        image.draft(None, (image.width // factor, image.height // factor))
    return np.array(image.convert(mode))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_pixels_are_pillow_s(kind: str, size: tuple[int, int]) -> None:
    data = jpeg(kind, *size)
    for spec, mode in (("l8", "L"), ("rgb8", "RGB"), ("rgba8", "RGBA")):
        pixels = imagehandler(spec)(".jpg", data)
        assert np.array_equal(pixels, by_pillow(data, mode)), spec
        assert pixels.flags.c_contiguous
        assert pixels.flags.writeable
        assert np.array_equal(imagehandler(spec[:-1])(".jpg", data), np.divide(pixels, 255, dtype=np.float32))
        assert np.array_equal(imagehandler(f"pil{mode.lower()}")(".jpg", data), pixels)


@pytest.mark.needs("imagecodecs")
def test_colours_of_four_channels() -> None:
    import imagecodecs

    inks = np.random.default_rng(0).integers(0, 256, (24, 40, 4), np.uint8)
    data = bytes(imagecodecs.jpeg8_encode(inks, colorspace="CMYK", outcolorspace="YCCK"))
    assert np.array_equal(decode_image(data, "rgb8"), by_pillow(data, "RGB"))


@pytest.mark.needs("imagecodecs")
def test_twelve_bits_are_a_decode_error() -> None:
    import imagecodecs

    data = imagecodecs.jpeg8_encode(np.full((16, 16), 3000, np.uint16), bitspersample=12)
    with pytest.raises(DecodeError, match="field 'jpg'"):
        Decoder(["rgb8"])({"__key__": "k", "jpg": data})


def outcome(decode: Any, data: bytes) -> Any:
    try:
        return decode(data).tobytes()
    except Exception as error:
        return type(error)


def ends_and_faults(data: bytes) -> list[bytes]:
    cut = [data[: int(left * len(data))] for left in (0.01, 0.1, 0.5, 0.9)] + [data[:-2], data[:-1], data + b"more", data * 2]
    flipped = []
    for at in (len(data) // 3, len(data) // 2, len(data) - 30):
        flipped.append(data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :])
    return cut + flipped + [data[:300] + b"\xff\xd9", data[:-40] + b"\xff\xd9", b"\xff\xd8\xff" + bytes(100)]


@pytest.mark.parametrize("kind", ["grey", "4:2:0", "progressive", "restart markers"])
def test_what_is_broken_is_as_broken_as_with_pillow(kind: str) -> None:
    outcomes = set()
    for data in ends_and_faults(jpeg(kind)):
        found = outcome(lambda jpg: imagehandler("rgb8")(".jpg", jpg), data)
        assert found == outcome(lambda jpg: by_pillow(jpg, "RGB"), data)
        outcomes.add(found if isinstance(found, type) else bytes)
    assert bytes in outcomes
    assert OSError in outcomes


@pytest.mark.parametrize("left", [0.01, 0.5, 0.99])
def test_a_truncated_jpeg_is_a_decode_error(left: float) -> None:
    data = jpeg("4:2:0")
    with pytest.raises(DecodeError, match="field 'jpg'"):
        Decoder(["rgb8"])({"__key__": "k", "jpg": data[: int(left * len(data))]})


def test_pillow_s_bound_of_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 75 * 99 - 1)
    with pytest.warns(Image.DecompressionBombWarning):
        decode_image(jpeg("4:2:0"), "rgb8")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 75 * 99 // 2 - 1)
    with pytest.raises(Image.DecompressionBombError):
        decode_image(jpeg("4:2:0"), "rgb8")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert decode_image(jpeg("4:2:0"), "rgb8").shape == (75, 99, 3)


# (height, width), min_size → what comes out
SCALED = [
    ((64, 200), 8, (8, 25)),
    ((64, 200), 9, (16, 50)),
    ((63, 200), 8, (8, 25)),
    ((200, 64), 17, (100, 32)),
    ((64, 200), 32, (32, 100)),
    ((64, 200), 33, (64, 200)),
    ((64, 200), 64, (64, 200)),
    ((64, 200), 1000, (64, 200)),
    ((75, 99), 38, (38, 50)),
    ((75, 99), 39, (75, 99)),
    ((7, 9), 1, (7, 9)),
]


@pytest.mark.parametrize(("size", "least", "expected"), SCALED)
@pytest.mark.parametrize("kind", ["grey", "4:2:0", "4:4:4", "progressive", "in CMYK"])
def test_min_size(kind: str, size: tuple[int, int], least: int, expected: tuple[int, int]) -> None:
    data = jpeg(kind, *size)
    decoded = Decoder(["rgb8"], min_size=least)({"__key__": "k", "jpg": data})["jpg"]
    assert decoded.shape == (*expected, 3)
    assert np.array_equal(decoded, by_pillow(data, "RGB", -(-size[0] // expected[0])))
    for spec in ("pil", "raw", "rgb16", "l"):
        assert np.shape(imagehandler(spec, min_size=least)(".jpg", data))[:2] == expected


def test_min_size_is_for_jpegs() -> None:
    file = BytesIO()
    Image.new("RGB", (640, 480)).save(file, "png")
    assert decode_image(file.getvalue(), "rgb8", min_size=10).shape == (480, 640, 3)


@pytest.mark.needs("simplejpeg")
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "in CMYK"])
def test_both_libraries_are_asked_for_the_same(kind: str) -> None:
    """Sizes and upper parts: what Pillow does where there is no simplejpeg."""
    data = jpeg(kind, 131, 99)
    for factor in (1, 2, 4, 8):
        whole = by_pillow(data, "RGB", factor)
        for needed in (1, 40, 64, 111, 131):
            fast = read_jpeg(data, "RGB", lambda height, width: (factor, needed), 1e9)  # noqa: B023
            slow = np.array(read_image(data, "RGB", lambda height, width: (factor, needed)))  # noqa: B023
            assert fast is not None
            assert np.array_equal(fast, slow)
            rows = -(-needed // factor)
            assert np.array_equal(fast[:rows], whole[:rows])
            assert len(fast) < len(whole) or needed > 111


def test_upper_rows_of_what_has_no_end() -> None:
    """Where it breaks off would not be noticed."""
    data = jpeg("4:2:0", 131, 99)
    assert first_rows(data, 131, 40)[1] == 56
    for whole in (data[:-2], data[:200], b"\xff\xd8\xff", b"\xff\xd8\xff\xe0\0\0" * 9):
        assert first_rows(whole, 131, 40) == (whole, 131)


def empty(shape: tuple[int, ...], dtype: str = "uint8") -> np.ndarray:
    return np.full(shape, 77, dtype)


@pytest.mark.parametrize("kind", ["grey", "4:2:0", "in CMYK"])
@pytest.mark.parametrize(
    ("spec", "shape", "dtype"),
    [
        ("rgb8", (75, 99, 3), "uint8"),
        ("rgba8", (75, 99, 4), "uint8"),
        ("l8", (75, 99), "uint8"),
        ("rgb", (75, 99, 3), "float32"),
        ("l", (75, 99), "float32"),
        ("rgb16", (75, 99, 3), "uint16"),
    ],
)
def test_into_the_slot_of_a_batch(kind: str, spec: str, shape: tuple[int, ...], dtype: str) -> None:
    batch = empty((3, *shape), dtype)
    assert decode_image(jpeg(kind), spec, out=batch[1]) is not None
    assert np.array_equal(batch[1], decode_image(jpeg(kind), spec))
    assert (batch[[0, 2]] == 77).all()
    across = np.moveaxis(empty((*shape[1:], shape[0]), dtype), -1, 0)  # in another order in memory
    assert np.array_equal(decode_image(jpeg(kind), spec, out=across), batch[1])


@pytest.mark.needs("torch")
@pytest.mark.parametrize("spec", ["torchrgb8", "torchrgb", "torchl8"])
def test_into_the_slot_of_a_batch_of_tensors(spec: str) -> None:
    import torch

    expected = decode_image(jpeg("4:2:0"), spec)
    batch = torch.zeros((2, *expected.shape), dtype=expected.dtype)
    assert decode_image(jpeg("4:2:0"), spec, out=batch[1]).data_ptr() == batch[1].data_ptr()
    assert torch.equal(batch[1], expected)
    assert not batch[0].any()


def read_only() -> np.ndarray:
    array = empty((75, 99, 3))
    array.flags.writeable = False
    return array


@pytest.mark.parametrize("out", [empty((75, 99, 3), "float32"), read_only(), [[0]], bytearray(9), "x"])
def test_what_nothing_can_be_written_to(out: Any) -> None:
    with pytest.raises(SpecError, match="out must be"):
        decode_image(jpeg("4:2:0"), "rgb8", out=out)
    with pytest.raises(SpecError, match="PIL"):
        decode_image(jpeg("4:2:0"), "pil", out=out)


@pytest.mark.parametrize("shape", [(75, 99), (75, 99, 4), (99, 75, 3), (150, 99, 3), (1,)])
def test_an_image_of_another_shape_than_its_place(shape: tuple[int, ...]) -> None:
    with pytest.raises(DecodeError, match=r"\(75, 99, 3\)"):
        decode_image(jpeg("4:2:0"), "rgb8", out=empty(shape))
    with pytest.raises(DecodeError, match="a place for"):
        decode_image(jpeg("4:2:0"), "raw", out=empty((75, 99, 3), "float32"))
