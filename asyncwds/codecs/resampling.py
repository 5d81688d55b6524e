"""Windows of images, resized: bilinear with antialiasing.

by Pillow    what torchvision makes of images of PIL, to the last bit
by torch     RGB, in a quarter of the time where it has vector code; one level of 255 from that at most
"""

from __future__ import annotations

import math
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from asyncwds import checks
from asyncwds.codecs.image_specs import ImageSpec
from asyncwds.errors import SpecError
from asyncwds.runtime.extras import require_extra

if TYPE_CHECKING:
    from numpy.typing import NDArray

Resampler = Literal["auto", "pillow", "torch"]
"""Who resizes RGB; "auto" is torch where it is imported, or the result is its tensor, and has vector code; else Pillow."""

_TINY = 1e-9  # of a number of pixels: what dividing and multiplying again may lose


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

    def scaled(self, factor: int) -> Window:
        """The same part of the image as it was decoded, at 1/factor."""
        top, left, height, width, _, reach = self
        return Window(top / factor, left / factor, height / factor, width / factor, self.flip, reach / factor)


class _Span(NamedTuple):
    """One side of a window: where it begins, and how long it is, in pixels of an image with so many (`extent`); what it becomes."""

    start: float
    length: float
    reach: float
    extent: int
    size: int

    @property
    def is_cut(self) -> bool:
        return self.length == self.size and float(self.start).is_integer()

    @property
    def begin(self) -> int:
        return max(0, math.floor(self.start - self.reach))

    @property
    def end(self) -> int:
        return min(self.extent, math.ceil(self.start + self.length + self.reach))

    @property
    def origin(self) -> float:
        """Where the pixels of the result are counted from: the window, or the whole image where that is resized and then cut."""
        return 0 if self.reach else self.start

    @property
    def ahead(self) -> float:
        """How many pixels there would be from the origin to the window, resized as it is."""
        return (self.start - self.origin) * self.size / self.length

    @property
    def is_aligned(self) -> bool:
        """Whether all that is whole pixels, if not for rounding."""
        ends_well = self.reach > 0 or float(self.length).is_integer()
        return ends_well and float(self.origin).is_integer() and abs(self.ahead - round(self.ahead)) < _TINY * self.extent

    @property
    def box(self) -> tuple[float, float]:
        """The window, in pixels from `begin`; the last one may be beyond the image by rounding."""
        return self.start - self.begin, min(self.start + self.length, self.end) - self.begin


def require_resampler(name: str, resampler: str) -> None:
    """Raises SpecError for what is no `Resampler`, and for torch where it is not installed."""
    checks.one_of(name, resampler, get_args(Resampler))
    if resampler == "torch" and find_spec("torch") is None:
        raise SpecError(f"{name} 'torch' needs torch: pip install 'asyncwds[torch]'")


def resample(pixels: NDArray[Any], window: Window, size: tuple[int, int], spec: ImageSpec, resampler: Resampler) -> NDArray[Any]:
    """The window of an image, [H, W] or [H, W, C] of bytes, as `size` pixels of its own; for tensors not yet in order."""
    rows = _Span(window.top, window.height, window.reach, pixels.shape[0], size[0])
    columns = _Span(window.left, window.width, window.reach, pixels.shape[1], size[1])
    if rows.is_cut and columns.is_cut:
        found = _cut(pixels, rows, columns)
    elif pixels.shape[2:] == (3,) and rows.is_aligned and columns.is_aligned and (torch := _torch(resampler, spec)):
        found = _by_torch(torch, pixels, rows, columns)
    else:
        found = _by_pillow(pixels, rows, columns)
    if not window.flip:
        return found
    # A tensor's planes are put in order from last to first as well.
    return found[:, ::-1] if spec.container == "torch" else _mirrored(found)


def _torch(resampler: Resampler, spec: ImageSpec) -> Any:
    """The library if it is to be used."""
    is_there = sys.modules.get("torch") is not None or spec.container == "torch"
    if resampler == "pillow" or (resampler == "auto" and not is_there):
        return None
    torch = require_extra("torch", "torch")
    # Without vector code its threads share the work, and wait for each other by spinning.
    has_vectors = torch.backends.cpu.get_cpu_capability().startswith("AVX")
    return torch if has_vectors or resampler == "torch" else None


def _cut(pixels: NDArray[Any], rows: _Span, columns: _Span) -> NDArray[Any]:
    import numpy as np  # noqa: PLC0415 - heavy

    region = pixels[_inside(rows), _inside(columns)]
    if region.shape[:2] == (rows.size, columns.size):
        return np.array(region)
    black = np.zeros((rows.size, columns.size, *pixels.shape[2:]), np.uint8)
    top, left = (max(0, int(-side.start)) for side in (rows, columns))
    black[top : top + region.shape[0], left : left + region.shape[1]] = region
    return black


def _inside(side: _Span) -> slice:
    return slice(max(0, int(side.start)), max(0, int(side.start) + side.size))


def _by_torch(torch: Any, pixels: NDArray[Any], rows: _Span, columns: _Span) -> NDArray[Any]:
    import numpy as np  # noqa: PLC0415 - heavy

    region = np.ascontiguousarray(pixels[int(rows.origin) : rows.end, int(columns.origin) : columns.end])
    # By their strides torch sees that the pixels are in order as they are, and writes the result so: 0.2 ms and not 0.3.
    planes = torch.from_numpy(region.reshape(1, *region.shape)).permute(0, 3, 1, 2)
    factors = tuple(side.size / side.length * (1 + _TINY) for side in (rows, columns))
    resized = torch.nn.functional.interpolate(planes, scale_factor=factors, mode="bilinear", antialias=True)
    top, left = round(rows.ahead), round(columns.ahead)
    found: NDArray[Any] = resized[0].permute(1, 2, 0).numpy()[top : top + rows.size, left : left + columns.size]
    return found


def _by_pillow(pixels: NDArray[Any], rows: _Span, columns: _Span) -> NDArray[Any]:
    import numpy as np  # noqa: PLC0415 - heavy
    from PIL import Image  # noqa: PLC0415 - heavy

    region = np.ascontiguousarray(pixels[rows.begin : rows.end, columns.begin : columns.end])
    (top, bottom), (left, right) = rows.box, columns.box
    resized = Image.fromarray(region).resize((columns.size, rows.size), Image.Resampling.BILINEAR, (left, top, right, bottom))
    return np.array(resized)


def _mirrored(pixels: NDArray[Any]) -> NDArray[Any]:
    """One channel after the other: NumPy moves pixels of three bytes one by one, in six times the time."""
    import numpy as np  # noqa: PLC0415 - heavy

    turned = np.empty_like(pixels, order="C")
    for channel in np.ndindex(pixels.shape[2:]):
        turned[..., *channel] = pixels[:, ::-1, *channel]
    return turned
