"""What needs no server: kinds, ranges, colours, histograms, search; and the command, as a user runs it."""

import math
import os
import signal
import subprocess
import sys
from io import BytesIO
from urllib.request import urlopen

import numpy as np
import pytest
from PIL import Image

from asyncwds import make_index
from asyncwds.testing import make_samples, make_shard
from asyncwds.viewer import choose_map, colour, draw, find_key, histogram, kind_of, parse_range, read_text, search_keys


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
    ("header", "part"),
    [
        (None, None),
        ("bytes=0-0", (0, 1)),
        ("bytes=5-", (5, 10)),
        ("bytes=-3", (7, 10)),
        ("bytes=-99", (0, 10)),
        ("bytes=5-99", (5, 10)),
        ("bytes=7-5", None),
        ("bytes=-", None),
        ("bytes=0-1,3-4", None),
        ("lines=0-1", None),
    ],
)
def test_ranges(header, part):
    assert parse_range(header, 10) == part


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-20", "bytes=-0"])
def test_ranges_behind_the_end(header):
    with pytest.raises(ValueError, match="10 bytes"):
        parse_range(header, 10)


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


@pytest.mark.parametrize(
    ("values", "bars"),
    [
        (np.array([1, 1, 2]), [(1, 2, 3)]),
        (np.array([5, 5]), [(5, 6, 2)]),
        (np.array([0, 1, 3]), [(0, 1, 1), (1, 2, 1), (2, 3, 1)]),
        (np.array([]), []),
        ([3, 1, 3], [("1", 1), ("3", 2)]),
        (["b", "a", "b", True], [("b", 2), ("a", 1), ("true", 1)]),
    ],
)
def test_histograms(values, bars):
    found = [tuple(bar.values()) for bar in histogram(values)["bars"]]
    assert found == bars


def test_a_histogram_with_a_long_tail_has_bins_that_grow():
    found = histogram(np.array([*range(1, 100), 100_000]))
    widths = [bar["to"] - bar["from"] for bar in found["bars"]]
    assert sum(bar["count"] for bar in found["bars"]) == 100
    assert widths[-1] > 100 * widths[0]


def test_a_match_that_reaches_into_the_next_key_is_none(tmp_path):
    (tmp_path / "a.tar").write_bytes(make_shard([{"__key__": key, "txt": "x"} for key in ("ab", "ca", "b", "bca", "bc")]))
    shards = [shard.columns for shard in make_index(str(tmp_path / "a.tar")).shards]
    assert search_keys(shards, "bc", 10) == ([4, 3], None)  # the one with this key is put first
    assert search_keys(shards * 2, "b", 3) == ([2, 0, 3], 4)
    assert search_keys(shards * 2, "b", 9, 4) == ([4, 5, 7, 8, 9], None)
    assert search_keys(shards, "", 9) == ([], None)
    assert (find_key(shards * 2, "bc"), find_key(shards, "c")) == (4, None)


def test_the_command_serves_until_it_is_interrupted(tmp_path):
    (tmp_path / "a.tar").write_bytes(make_shard(make_samples(3)))
    command = [sys.executable, "-c", "from asyncwds.cli import main; main()", "view", str(tmp_path / "a.tar"), "--no-browser"]
    process = subprocess.Popen(
        [*command, "--token", "an-old-token-of-ours"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        address = process.stdout.readline().split()[0]
        assert address.endswith("/an-old-token-of-ours/")
        with urlopen(address + "api/state", timeout=30) as answer:
            assert b'"samples"' in answer.read()
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=60)
    assert (process.returncode, rest, errors) == (0, "", "")


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["nothing-here/*.tar"], 1, "SpecError"),
        (["a.tar", "--token", "short"], 1, "16"),
        (["a.tar", "--port", "99999"], 1, "port"),
    ],
)
def test_the_command_refuses(arguments, status, message, tmp_path):
    command = [sys.executable, "-c", "from asyncwds.cli import main; main()", "view", *arguments, "--no-browser"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path, env={**os.environ})
    assert done.returncode == status
    assert message in done.stderr
