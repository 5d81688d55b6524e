"""Few bytes that unpack to many: given up at the bound, with a peak of memory that the bound says."""

from __future__ import annotations

import bz2
import gzip
import inspect
import json
import lzma
import os
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from functools import cache
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

import asyncwds as wds

MiB, GiB = 1 << 20, 1 << 30
BOUND, BOMB, SLACK = 16 * MiB, 96 * MiB, 40 * MiB

# One interpreter imports what decoders need. Each case is decoded by a fork of it, which has a peak of its own.
DECODE = """
import importlib.util, json, os, resource, sys
from pathlib import Path
import numpy, PIL.Image
from asyncwds import Decoder
from asyncwds import turbojpeg
from asyncwds.errors import DecodeError

for name in ("torch", "simplejpeg", "zstandard", "lz4"):
    if importlib.util.find_spec(name):
        __import__(name)

def decode(field, path, spec, bound):
    data = Path(path).read_bytes()
    decoder = Decoder([turbojpeg("rgb8")] if spec == "turbojpeg" else [spec] if spec else [], max_unpacked=bound)
    decoder({"warm": b"", "txt": b"x"})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        print(len(decoder({"__key__": "k", field: data})[field]), end=" ")
    except DecodeError as error:
        print(type(error.__cause__).__name__, end=" ")
    print(1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before), flush=True)

for line in sys.stdin:
    if not (child := os.fork()):
        decode(*json.loads(line))
        os._exit(0)
    if status := os.waitpid(child, 0)[1]:
        sys.exit(f"decoding ended with {status}")
"""
Decode = Callable[..., tuple[str, int]]


@pytest.fixture(scope="module")
def decoded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Decode]:
    """`decoded(field, data, spec, bound)`: what came out, or the cause of the error, and by how much memory grew [bytes]."""
    path = tmp_path_factory.mktemp("bombs") / "data"
    one_thread = dict.fromkeys(["OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"], "1")  # a process with several should not fork
    command = [sys.executable, "-W", "error", "-c", DECODE]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | one_thread
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def decode(field: str, data: bytes, spec: str = "", bound: int = BOUND) -> tuple[str, int]:
            path.write_bytes(data)
            print(json.dumps([field, str(path), spec, bound]), file=process.stdin, flush=True)
            what, grown = process.stdout.readline().split()
            return what, int(grown)

        yield decode
        process.stdin.close()
        assert process.wait() == 0


def zst(data: bytes) -> bytes:
    import zstandard

    return zstandard.ZstdCompressor().compress(data)


def lz4(data: bytes) -> bytes:
    from lz4 import frame

    return frame.compress(data)


def many(pack: Callable[[bytes], bytes]) -> Callable[[int], bytes]:
    """One stream after the other, since making a long one takes long."""
    return lambda size: pack(bytes(8 * MiB)) * (size // (8 * MiB))


def npz(size: int, method: int = zipfile.ZIP_DEFLATED, members: int = 4) -> bytes:
    array, file = BytesIO(), BytesIO()
    np.save(array, np.zeros(size // members, np.uint8))
    with zipfile.ZipFile(file, "w", method, compresslevel=1) as archive:
        for number in range(members):
            archive.writestr(f"{number}.npy", array.getvalue())
    return file.getvalue()


def pth(size: int) -> bytes:
    import torch

    stored, deflated = BytesIO(), BytesIO()
    torch.save(torch.zeros(size, dtype=torch.uint8), stored)
    with zipfile.ZipFile(stored) as source, zipfile.ZipFile(deflated, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    return deflated.getvalue()


BOMBS: dict[str, tuple[str, Callable[[int], bytes]]] = {
    "gz": ("x.gz", lambda size: gzip.compress(bytes(size), 1)),
    "gz of many streams": ("x.gz", many(gzip.compress)),
    "gz with padding": ("x.gz", many(lambda data: gzip.compress(data) + bytes(100))),
    "gz of gz": ("x.gz.gz", lambda size: gzip.compress(gzip.compress(bytes(size), 1))),
    "bz2": ("x.bz2", many(bz2.compress)),
    "xz": ("x.xz", many(lzma.compress)),
    "zst": ("x.zst", lambda size: zst(bytes(size))),
    "lz4": ("x.lz4", lambda size: lz4(bytes(size))),
    "npz": ("npz", npz),
    "pth": ("pth", pth),
}
MARKS: dict[str, list[pytest.MarkDecorator]] = {
    "zst": [pytest.mark.needs("zstandard")],
    "lz4": [pytest.mark.needs("lz4")],
    "pth": [pytest.mark.needs("torch")],
}
EACH = pytest.mark.parametrize("name", [pytest.param(name, marks=MARKS.get(name, ())) for name in BOMBS])


@cache
def bomb(name: str) -> tuple[str, bytes]:
    """The field, and what is in it: for both tests, as packing takes longest."""
    field, make = BOMBS[name]
    return field, make(BOMB)


@EACH
def test_a_bomb_is_given_up_at_the_bound(name: str, decoded: Decode) -> None:
    field, data = bomb(name)
    assert len(data) < BOMB // 100
    what, grown = decoded(field, data)
    assert what == "ValueError"
    assert grown < BOUND + SLACK


@EACH
def test_what_is_within_the_bound_is_held_once(name: str, decoded: Decode) -> None:
    field, data = bomb(name)
    what, grown = decoded(field, data, bound=BOMB + MiB)
    assert what in {str(BOMB), "4"}
    assert grown < BOMB + SLACK


def test_the_default_is_one_gibibyte() -> None:
    assert inspect.signature(wds.decode).parameters["max_unpacked"].default == GiB


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_archives_are_packed_as_numpy_packs_them(method: int, decoded: Decode) -> None:
    """What the standard library unpacks otherwise comes out without a bound."""
    what, grown = decoded("npz", npz(BOUND // 2, method))
    assert what == "ValueError"
    assert grown < SLACK


@cache
def image_of(kind: str, side: int) -> bytes:
    file = BytesIO()
    Image.new("1", (side, side)).save(file, kind)
    return file.getvalue()


def jpeg_that_says(side: int) -> bytes:
    file = BytesIO()
    Image.new("RGB", (16, 16)).save(file, "jpeg")
    data = file.getvalue()
    header = data.index(b"\xff\xc0") + 5
    return data[:header] + struct.pack(">HH", side, side) + data[header + 4 :]


@pytest.mark.parametrize("spec", ["rgb8", "raw", "rgb16", "pil"])
def test_images_of_many_pixels(spec: str, decoded: Decode) -> None:
    for field, data in (("png", image_of("png", 14_000)), ("jpg", jpeg_that_says(60_000))):
        what, grown = decoded(field, data, spec)
        assert what == "DecompressionBombError"
        assert grown < SLACK


@pytest.mark.needs("simplejpeg")
def test_jpegs_of_many_pixels_in_turbojpeg(decoded: Decode) -> None:
    what, grown = decoded("jpg", jpeg_that_says(60_000), "turbojpeg")
    assert what == "DecompressionBombError"
    assert grown < SLACK


@pytest.mark.needs("tifffile", "imagecodecs")
def test_tiffs_of_many_bytes(decoded: Decode) -> None:
    import tifffile

    file = BytesIO()
    tifffile.imwrite(file, np.zeros((16, 16), np.float16), byteorder="<")  # which Pillow does not read
    data = file.getvalue()
    for tag in (256, 257):
        data = data.replace(struct.pack("<HHII", tag, 4, 1, 16), struct.pack("<HHII", tag, 4, 1, 60_000))
        data = data.replace(struct.pack("<HHIHH", tag, 3, 1, 16, 0), struct.pack("<HHIHH", tag, 3, 1, 60_000, 0))
    what, grown = decoded("tiff", data, "raw")
    assert what in {"ValueError", "DecompressionBombError"}
    assert grown < SLACK
