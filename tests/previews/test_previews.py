"""Fields as people look at them: kinds, colours, pictures, texts."""

import math
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from asyncwds.previews import choose_map, colour, draw, kind_of, read_text


@pytest.mark.parametrize(
    ("name", "kind", "content_type"),
    [
        ("jpg", "image", "image/jpeg"),
        ("left.JPEG", "image", "image/jpeg"),
        ("tif", "raster", None),
        ("seg.npy", "array", None),
        ("mp4", "video", "video/mp4"),
        ("mp3", "audio", "audio/mpeg"),
        ("json", "json", None),
        ("json.gz", "json", None),
        ("jpg.gz", "image", None),
        ("mp4.gz", "other", None),
        ("svg", "text", None),
        ("html", "text", None),
        ("eps", "other", None),
        ("pkl", "other", None),
        ("", "other", None),
    ],
)
def test_kinds(name, kind, content_type):
    found = kind_of(name)
    assert (found.kind, found.type) == (kind, content_type or "application/octet-stream")


@pytest.mark.parametrize(
    ("pixels", "name", "how"),
    [
        (np.array([[0, 3]], np.uint8), "png", "labels"),
        (np.array([[0, 200]], np.uint8), "png", "grey"),
        (np.array([[0, 200]], np.uint8), "seg.png", "labels"),
        (np.array([[0, 3000]], np.uint16), "depth.png", "depth"),
        (np.array([[0, 3000]], np.uint16), "instance.png", "labels"),
        (np.array([[0.5, math.nan]], np.float32), "npy", "depth"),
        (np.array([[0, 7]], np.int64), "npy", "labels"),
        (np.array([[True, False]]), "mask.npy", "grey"),
    ],
)
def test_colour_maps(pixels, name, how):
    assert choose_map(pixels, name) == how
    assert colour(pixels, how).shape == (1, 2, 3)


def test_depth_that_was_not_measured_does_not_stretch_the_colours():
    depth = np.full((10, 10), 5000, np.uint16)
    depth[0], depth[1] = 0, 6000
    shown = colour(depth, "grey")[:, 0, 0].tolist()
    assert shown[:3] == [0, 255, 0]
    assert colour(np.full((2, 2), np.inf, np.float32), "grey").max() == 0


@pytest.mark.parametrize(
    ("array", "shape"),
    [
        (np.zeros((4, 6, 3), np.uint8), (6, 4)),
        (np.zeros((3, 4, 6), np.float32), (6, 4)),
        (np.zeros((1, 4, 6), np.float64), (6, 4)),
        (np.zeros((2, 4, 6, 3), np.uint8), (6, 4)),
        (np.zeros((4, 6, 1), np.int32), (6, 4)),
        (np.zeros((5, 4, 6), np.uint16), (6, 4)),
    ],
)
def test_arrays_are_pictures(array, shape):
    out = BytesIO()
    np.save(out, array)
    with Image.open(BytesIO(draw(out.getvalue(), "npy", kind_of("npy"), 100, "auto").data)) as image:
        assert image.size == shape


@pytest.mark.parametrize("array", [np.zeros(4), np.zeros((2, 0)), np.array([["a", "b"]])])
def test_arrays_that_are_none(array):
    out = BytesIO()
    np.save(out, array)
    with pytest.raises(ValueError, match="is no picture"):
        draw(out.getvalue(), "npy", kind_of("npy"), 100, "auto")


@pytest.mark.parametrize(
    ("data", "name", "text", "form", "cut"),
    [
        (b'{"a":[1,2]}', "json", '{\n  "a": [\n    1,\n    2\n  ]\n}', "json", False),
        (b"12345678901234567890123", "json", "12345678901234567890123", "json", False),
        (b"{no json", "json", "{no json", "text", False),
        (b"abc" * 100, "txt", ("abc" * 100)[:200], "text", True),
        ("grün".encode(), "unknown", "grün", "text", False),
        (b"\xff\xfe", "txt", "\ufffd\ufffd", "text", False),
        (b"\0\1", "unknown", f"0000  {'00 01':47}  ..", "hex", False),
    ],
)
def test_texts(data, name, text, form, cut):
    assert read_text(data, kind_of(name), 200, whole=True) == (text, form, cut)
