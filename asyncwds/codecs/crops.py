"""Crops of images that are decoded only as far as a crop needs: the sizes and places that torchvision draws, at its results.

decoding     a JPEG at 1/2, 1/4 or 1/8 where the crop has enough pixels then, and without the rows below the crop
resampling   bilinear with antialiasing, by Pillow; by torch for tensors of RGB, in a third of the time
result       torchvision's for images of PIL where a JPEG is decoded at its own scale, and of other formats; by torch one level
             of 255 from it at most, and at 1/2 and less under one level on average for photos, 1.4 for hard edges
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from asyncwds import checks
from asyncwds.codecs.image_specs import IMAGE_SPECS, ImageSpec, image_spec, pack_pixels
from asyncwds.codecs.images import IMAGE_EXTENSIONS, last_extension
from asyncwds.codecs.jpeg import factor_for
from asyncwds.codecs.pixels import read_pixels
from asyncwds.runtime.extras import require_extra

if TYPE_CHECKING:
    from numpy.typing import NDArray

Size = tuple[int, int]
_TRIES = 10


class Window(NamedTuple):
    """What of an image becomes all of the result, in pixels of the image, whole or not. It may reach beyond the image: black.

    `reach` is how far [pixels] the resampling looks beyond the window, as where the whole image is resized and then cut.
    """

    top: float
    left: float
    height: float
    width: float
    flip: bool = False
    reach: float = 0


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

    def __call__(self, key: str, data: bytes) -> Any:
        if last_extension(key) not in IMAGE_EXTENSIONS:
            return None
        spec = IMAGE_SPECS[self.imagespec]
        cropped = _read_crop(data, spec, self.crop.size, self._window)
        if spec.container != "pil":
            return pack_pixels(cropped, spec)
        from PIL import Image  # noqa: PLC0415 - heavy

        return Image.fromarray(cropped)

    def _window(self, height: int, width: int) -> Window:
        """The same one when it is asked for again, as where another library has to read the image."""
        return self.crop.window(height, width, Random(self.seed))  # noqa: S311 - an augmentation, no secret


def _read_crop(data: bytes, spec: ImageSpec, size: Size, window_in: Callable[[int, int], Window]) -> NDArray[Any]:
    chosen: list[tuple[Window, int]] = []

    def choose(height: int, width: int) -> tuple[int, int]:
        window = window_in(height, width)
        factor = min(factor_for(int(window.height), size[0]), factor_for(int(window.width), size[1]))
        chosen[:] = [(window, factor)]
        return factor, min(height, math.ceil(window.top + window.height + window.reach + factor))

    pixels = read_pixels(data, spec.mode, choose)
    if not chosen:  # it is no JPEG
        chosen.append((window_in(*pixels.shape[:2]), 1))
    window, factor = chosen[0]
    return _resample(pixels, window, factor, size, spec)


class _Span(NamedTuple):
    """One side of a window: which pixels are read, what of these it is, how many it becomes, and how many black ones go before."""

    begin: int
    end: int
    low: float
    high: float
    size: int
    margin: int


def _span(start: float, length: float, reach: float, extent: int, size: int) -> _Span:
    low, high = max(0, start), min(extent, start + length)
    begin, end = max(0, math.floor(low - reach)), min(extent, math.ceil(high + reach))
    seen, margin = (round(size * part / length) for part in (high - low, low - start))
    return _Span(begin, end, low - begin, high - begin, seen, margin)


def _resample(pixels: NDArray[Any], window: Window, factor: int, size: Size, spec: ImageSpec) -> NDArray[Any]:
    """The window of an image that was decoded at 1/factor."""
    import numpy as np  # noqa: PLC0415 - heavy

    starts, lengths = (window.top, window.left), (window.height, window.width)
    rows, columns = (
        _span(start / factor, length / factor, window.reach / factor, extent, side)
        for start, length, extent, side in zip(starts, lengths, pixels.shape, size, strict=False)
    )
    region = pixels[rows.begin : rows.end, columns.begin : columns.end]
    if spec.container == "torch" and region.shape[2:] == (3,) and factor == 1 and window.reach == 0:
        return _by_torch(region, size, flip=window.flip)
    resized = _by_pillow(region, rows, columns, flip=window.flip)
    if resized.shape[:2] == size:
        return resized
    black = np.zeros((*size, *resized.shape[2:]), np.uint8)
    black[rows.margin : rows.margin + rows.size, columns.margin : columns.margin + columns.size] = resized
    return black


def _by_torch(region: NDArray[Any], size: Size, *, flip: bool) -> NDArray[Any]:
    import numpy as np  # noqa: PLC0415 - heavy

    torch = require_extra("torch", "torch")
    # Put in order by NumPy: torch would do it with its own threads, which wait for each other by spinning (0.65 -> 7.9 ms of CPU).
    planes = torch.from_numpy(np.ascontiguousarray(region)).permute(2, 0, 1)[None]
    resized = torch.nn.functional.interpolate(planes, size, mode="bilinear", antialias=True)[0]
    # Of planes, in order in memory: of pixels NumPy would move three bytes at a time.
    pixels: NDArray[Any] = np.moveaxis(np.ascontiguousarray(resized.numpy()[:, :, ::-1] if flip else resized.numpy()), 0, -1)
    return pixels


def _by_pillow(region: NDArray[Any], rows: _Span, columns: _Span, *, flip: bool) -> NDArray[Any]:
    import numpy as np  # noqa: PLC0415 - heavy
    from PIL import Image  # noqa: PLC0415 - heavy

    box = (columns.low, rows.low, columns.high, rows.high)
    image = Image.fromarray(np.ascontiguousarray(region))
    resized = image.resize((columns.size, rows.size), Image.Resampling.BILINEAR, box)
    return np.array(resized.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip else resized)
