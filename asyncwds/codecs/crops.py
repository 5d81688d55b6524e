"""Crops of images that are decoded only as far as a crop needs: the sizes and places that torchvision draws, at its results.

decoding     a JPEG at 1/2, 1/4 or 1/8 where the crop has enough pixels then, and without the rows below the crop
resampling   see `resampling`
result       torchvision's for images of PIL where a JPEG is decoded at its own scale, and of other formats; by torch one level
             of 255 from it at most, and at 1/2 and less under one level on average for photos, 1.4 for hard edges
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any, Protocol

from asyncwds import checks
from asyncwds.codecs.image_specs import IMAGE_SPECS, ImageSpec, image_spec, pack_pixels
from asyncwds.codecs.images import IMAGE_EXTENSIONS, last_extension
from asyncwds.codecs.jpeg import factor_for
from asyncwds.codecs.pixels import read_pixels
from asyncwds.codecs.resampling import Resampler, Window, resample

if TYPE_CHECKING:
    from numpy.typing import NDArray

Size = tuple[int, int]
_TRIES = 10


class Crop(Protocol):
    @property
    def size(self) -> Size: ...

    def window(self, height: int, width: int, rng: Random) -> Window: ...


@dataclass(frozen=True, slots=True)
class RandomCrop:
    """A part of `scale` of the area and of a `ratio` of width to height, anywhere; turned left to right in `flip` of the cases."""

    size: Size
    scale: tuple[float, float]
    ratio: tuple[float, float]
    flip: float

    def window(self, height: int, width: int, rng: Random) -> Window:
        flip = rng.random() < self.flip
        lowest, highest = math.log(self.ratio[0]), math.log(self.ratio[1])
        for _ in range(_TRIES):
            area = height * width * rng.uniform(*self.scale)
            ratio = math.exp(rng.uniform(lowest, highest))
            w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < w <= width and 0 < h <= height:
                top, left = int(rng.random() * (height - h + 1)), int(rng.random() * (width - w + 1))
                return Window(top, left, h, w, flip)
        return self._central(height, width, flip)

    def _central(self, height: int, width: int, flip: bool) -> Window:
        """The largest one of such a ratio, in the middle."""
        w = min(width, max(1, round(height * self.ratio[1])))
        h = min(height, max(1, round(width / self.ratio[0])))
        return Window((height - h) // 2, (width - w) // 2, h, w, flip)


@dataclass(frozen=True, slots=True)
class CenterCrop:
    """The middle of the image as it would be with a shorter side of `resize` pixels, or as it is; black where it is smaller."""

    size: Size
    resize: int | None

    def window(self, height: int, width: int, _rng: Random) -> Window:
        short = min(height, width)
        full = (height, width)
        if self.resize is not None:
            full = tuple(self.resize if side == short else int(self.resize * side / short) for side in full)  # type: ignore[assignment]
        steps = height / full[0], width / full[1]
        top, left = (_margin(side, part) * step for side, part, step in zip(full, self.size, steps, strict=True))
        return Window(top, left, self.size[0] * steps[0], self.size[1] * steps[1], reach=max(1, *steps) + 1)


def _margin(side: int, part: int) -> int:
    return round((side - part) / 2) if part <= side else -((part - side) // 2)


def require_crop_spec(name: str) -> None:
    """Raises SpecError for what is no image spec, or makes no crops."""
    spec = image_spec(name)
    checks.require(
        spec.numbers in {"uint8", "float32"} or (spec.container == "pil" and bool(spec.mode)),
        f"crops are of bytes or floats, as with the specs rgb8, torchrgb or pil, not {name!r}",
    )


@dataclass(frozen=True, slots=True)
class CropHandler:
    """A handler for `decode` that makes crops of image fields, random ones by `seed`: the same for images of the same size."""

    crop: Crop
    imagespec: str
    seed: int = 0
    resampler: Resampler = "auto"

    def __call__(self, key: str, data: bytes) -> Any:
        if last_extension(key) not in IMAGE_EXTENSIONS:
            return None
        spec = IMAGE_SPECS[self.imagespec]
        cropped = self._read_crop(data, spec)
        if spec.container != "pil":
            return pack_pixels(cropped, spec)
        from PIL import Image  # noqa: PLC0415 - heavy

        return Image.fromarray(cropped)

    def _window(self, height: int, width: int) -> Window:
        """The same one when it is asked for again, as where another library has to read the image."""
        return self.crop.window(height, width, Random(self.seed))  # noqa: S311 - an augmentation, no secret

    def _read_crop(self, data: bytes, spec: ImageSpec) -> NDArray[Any]:
        chosen: list[tuple[Window, int]] = []
        size = self.crop.size

        def choose(height: int, width: int) -> tuple[int, int]:
            window = self._window(height, width)
            factor = min(factor_for(int(window.height), size[0]), factor_for(int(window.width), size[1]))
            chosen[:] = [(window, factor)]
            return factor, min(height, math.ceil(window.top + window.height + window.reach + factor))

        pixels = read_pixels(data, spec.mode, choose)
        if not chosen:  # it is no JPEG
            chosen.append((self._window(*pixels.shape[:2]), 1))
        window, factor = chosen[0]
        return resample(pixels, window.scaled(factor), size, spec, self.resampler)
