from __future__ import annotations

import pickle
from collections.abc import Callable

import numpy as np
import pytest
import simplejpeg

from asyncwds import Decoder, imagehandler, turbojpeg
from asyncwds.errors import DecodeError, SpecError

Encoded = Callable[..., bytes]


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("spec", ["rgb8", "rgba8", "rgb", "rgba"])
def test_colours_are_those_of_pillow(encoded: Encoded, mode: str, spec: str) -> None:
    data = encoded(mode, "jpeg")
    fast = turbojpeg(spec)(".jpg", data)
    slow = imagehandler(spec)(".jpg", data)
    assert (fast.dtype, fast.shape) == (slow.dtype, slow.shape)
    assert np.abs(fast.astype(float) - slow).max() <= (1 if spec.endswith("8") else 1 / 255)


def test_grey_is_the_jpeg_s_luminance(encoded: Encoded) -> None:
    data = encoded("RGB", "jpeg")
    fast, slow = turbojpeg("l8")(".jpg", data), imagehandler("l8")(".jpg", data)
    assert (fast.dtype, fast.shape) == (np.uint8, (24, 40))
    assert np.abs(fast.astype(int) - slow).mean() < 2
    assert np.array_equal(turbojpeg("l8")(".jpg", encoded("L", "jpeg")), imagehandler("l8")(".jpg", encoded("L", "jpeg")))


@pytest.mark.needs("torch")
def test_tensors(encoded: Encoded) -> None:
    tensor = turbojpeg("torchrgb")(".jpeg", encoded("RGB", "jpeg"))
    assert tuple(tensor.shape) == (3, 24, 40)


def test_all_but_jpegs_is_left_to_the_next_handler(encoded: Encoded) -> None:
    handler = turbojpeg("rgb8")
    for key, data in [
        (".png", encoded("RGB")),
        (".jpg", encoded("RGB")),
        (".txt", encoded("RGB", "jpeg")),
        (".jpg", encoded("CMYK", "jpeg")),
    ]:
        assert handler(key, data) is None
    sample = {"__key__": "k", "jpg": encoded("CMYK", "jpeg"), "a.jpg": encoded("RGB", "jpeg"), "png": encoded("L")}
    decoded = Decoder([handler, "rgb8"])(sample)
    assert {decoded[field].shape for field in ("jpg", "a.jpg", "png")} == {(24, 40, 3)}


@pytest.mark.parametrize("left", [0.01, 0.9])
def test_fault_27_a_truncated_jpeg(encoded: Encoded, left: float) -> None:
    data = encoded("RGB", "jpeg", 240, 400)
    with pytest.raises(DecodeError, match="field 'jpg'"):
        Decoder([turbojpeg("rgb8")])({"__key__": "k", "jpg": data[: int(left * len(data))]})


def test_it_makes_no_pil_images() -> None:
    with pytest.raises(SpecError, match="not PIL"):
        turbojpeg("pil")


def test_the_handler_pickles(encoded: Encoded) -> None:
    handler = pickle.loads(pickle.dumps(turbojpeg("rgb8")))
    data = encoded("RGB", "jpeg")
    assert np.array_equal(handler(".jpg", data), simplejpeg.decode_jpeg(data, "RGB"))
