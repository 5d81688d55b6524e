"""How fast are JPEGs decoded, whole and as crops?

    python -m bench decode

Photos of 500 x 400 pixels and of two million, made here, of quality 90. Whole ones by Pillow, simplejpeg and asyncwds, to arrays of
bytes; random crops to 224 x 224 by asyncwds, resized by Pillow and by torch, and as torchvision makes them of images of PIL: all
decoded, cut and resized by Pillow.
"""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from bench.harness import Answer, Contender, Question, Size, Target, World
from bench.tally import Tally

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIZES = {"500x400": (400, 500), "2 MP": (1200, 1680)}
CROP = (224, 224)
TORCH = find_spec("torch") is not None
# What Pillow imports for its first JPEG, in 0.15 s.
FORMATS = tuple(f"PIL.{name}ImagePlugin" for name in ("Bmp", "Gif", "Jpeg", "Mpo", "Png", "Ppm", "Tiff"))


@contextmanager
def prepare(size: Size) -> Iterator[World]:
    count = 100 if size == "full" else 3
    with tempfile.TemporaryDirectory(prefix="asyncwds-bench-") as folder:
        pixels = 0
        for name, (height, width) in SIZES.items():
            photo(height, width).save(Path(folder) / f"{name}.jpg", "jpeg", quality=90)
            pixels += height * width
        yield {"folder": folder, "samples": count, "bytes": 3 * pixels * count}


def photo(height: int, width: int, seed: int = 0) -> Any:
    """Of all frequencies, the lower the stronger, as photos are."""
    import numpy as np
    from PIL import Image

    random, total = np.random.default_rng(seed), np.zeros((height, width, 3))
    for octave in range(1, 8):
        coarse = random.normal(0, 2.0**octave, (height // 2**octave + 2, width // 2**octave + 2, 3)).astype(np.float32)
        planes = [Image.fromarray(coarse[:, :, c]).resize((width, height), Image.Resampling.BICUBIC) for c in range(3)]
        total += np.stack([np.asarray(plane) for plane in planes], -1)
    return Image.fromarray(np.clip(128 + 50 * total / total.std(), 0, 255).astype(np.uint8))


def decoding(name: str, decode: Callable[[bytes, int], NDArray[Any]], group: str = "", needs: tuple[str, ...] = ()) -> Contender:
    """`decode(data, number)` for each of the world's samples; the number is what a random crop begins with."""

    def run(world: World, tally: Tally) -> None:
        data = (Path(world["folder"]) / f"{name}.jpg").read_bytes()
        for number in range(world["samples"]):
            pixels = decode(data, number)
            tally.add_part(pixels.nbytes, zlib.crc32((pixels if tally.full else pixels[len(pixels) // 2]).data))
            tally.samples += 1

    return Contender(run, needs=("numpy", *FORMATS, "asyncwds:decode_image", "asyncwds.codecs.crops", *needs), group=group)


def pillow(data: bytes, _: int) -> NDArray[Any]:
    import numpy as np
    from PIL import Image

    return np.array(Image.open(BytesIO(data)).convert("RGB"))


def simplejpeg(data: bytes, _: int) -> NDArray[Any]:
    import simplejpeg as library

    pixels: NDArray[Any] = library.decode_jpeg(data, "RGB")
    return pixels


def asyncwds(data: bytes, _: int) -> NDArray[Any]:
    import asyncwds as wds

    pixels: NDArray[Any] = wds.decode_image(data, "rgb8")
    return pixels


def _random_crop() -> Any:
    from asyncwds.codecs.crops import RandomCrop

    return RandomCrop(CROP, (0.08, 1), (3 / 4, 4 / 3), 0.5)


def whole_then_resized(data: bytes, number: int) -> NDArray[Any]:
    import numpy as np
    from PIL import Image

    image = Image.open(BytesIO(data)).convert("RGB")
    window = _random_crop().window(image.height, image.width, Random(number))
    box = (window.left, window.top, window.left + window.width, window.top + window.height)
    crop = image.crop(box).resize((CROP[1], CROP[0]), Image.Resampling.BILINEAR)
    return np.array(crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if window.flip else crop)


def whole_then_resized_tensor(data: bytes, number: int) -> NDArray[Any]:
    import numpy as np
    import torch

    planes = np.ascontiguousarray(np.moveaxis(whole_then_resized(data, number), -1, 0))
    pixels: NDArray[Any] = torch.from_numpy(planes).numpy()
    return pixels


def decode_crop(resampler: Any) -> Callable[[bytes, int], NDArray[Any]]:
    def crop(data: bytes, number: int) -> NDArray[Any]:
        from asyncwds.codecs.crops import CropHandler

        pixels: NDArray[Any] = CropHandler(_random_crop(), "rgb8", number, resampler)(".jpg", data)
        return pixels

    return crop


def decode_crop_tensor(data: bytes, number: int) -> NDArray[Any]:
    from asyncwds.codecs.crops import CropHandler

    pixels: NDArray[Any] = CropHandler(_random_crop(), "torchrgb8", number)(".jpg", data).numpy()
    return pixels


def contenders() -> dict[str, Contender]:
    found = {}
    for name in SIZES:
        whole = f"whole {name}"  # the same pixels
        found[f"{name}, Pillow"] = decoding(name, pillow, whole)
        found[f"{name}, simplejpeg"] = decoding(name, simplejpeg, whole, ("simplejpeg",))
        found[f"{name}, asyncwds"] = decoding(name, asyncwds, whole, ("simplejpeg",))
        # To the last bit where nothing is decoded at a smaller scale.
        crops = "crops" if name == "500x400" else ""
        found[f"{name}, whole, then resized"] = decoding(name, whole_then_resized, crops)
        found[f"{name}, decode_crop, Pillow"] = decoding(name, decode_crop("pillow"), crops, ("simplejpeg",))
        if TORCH:
            found[f"{name}, decode_crop"] = decoding(name, decode_crop("torch"), needs=("torch", "simplejpeg"))
            found[f"{name}, whole, then resized, tensors"] = decoding(name, whole_then_resized_tensor, needs=("torch",))
            found[f"{name}, decode_crop, tensors"] = decoding(name, decode_crop_tensor, needs=("torch", "simplejpeg"))
    return found


def faster(name: str, than: str) -> Callable[[Answer], float]:
    return lambda answer: answer[than].seconds / answer[name].seconds


def targets() -> Iterator[Target]:
    for name in SIZES:
        whole, cropped, resized = f"{name}, asyncwds", f"{name}, decode_crop", f"{name}, whole, then resized"
        yield Target(f"{name}: images/s over Pillow's", faster(whole, f"{name}, Pillow"), at_least=1.2)
        yield Target(f"{name}: images/s over simplejpeg's", faster(whole, f"{name}, simplejpeg"), at_least=0.9)
        yield Target(
            f"{name}: crops/s by Pillow over decoding it whole, then resizing", faster(f"{cropped}, Pillow", resized), at_least=1.1
        )
        if TORCH:
            kind = "tensors"
            yield Target(f"{name}: crops/s over decoding it whole, then resizing", faster(cropped, resized), at_least=1.8)
            better = faster(f"{cropped}, {kind}", f"{resized}, {kind}")
            yield Target(f"{name}: the same, to tensors", better, at_least=1.8)


QUESTION = Question(
    prepare=prepare, contenders=contenders(), columns=["samples_per_second", "us_per_sample", "peak"], targets=list(targets())
)
