"""What is wanted of a video or a sound, and what is made of it, as data: no decoding here."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any, NamedTuple

from asyncwds import checks
from asyncwds.runtime.units import GiB

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_DECODED = 4 * GiB  # [bytes]


@dataclass(frozen=True, slots=True)
class Sampling:
    """Which frames of a video: all, or by one of `frames` alone, `stride` and `fps`; see `video`."""

    frames: int | None = None
    stride: int | None = None
    fps: float | None = None

    def __post_init__(self) -> None:
        for name in ("frames", "stride"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, checks.whole(f"{name} of a video", getattr(self, name), 1))
        if self.fps is not None:
            checks.real("fps of a video", self.fps, above=0, most=sys.float_info.max)
        checks.require(self.fps is None or self.stride is None, "a video is sampled by stride or by fps, not by both")

    @property
    def fixed(self) -> bool:
        """Whether the number of frames does not depend on the video."""
        return self.frames is not None and self.stride is None and self.fps is None

    def indices(self, count: int) -> list[int]:
        """Of the frames to take from `count`, in order. Not for `fps`."""
        if self.frames is not None and self.fixed:
            return [(2 * piece + 1) * count // (2 * self.frames) for piece in range(self.frames)] if count else []
        return list(range(0, count, self.stride or 1))[: self.frames]

    def times(self, begin: float, end: float) -> list[float]:
        """The moments [s] at which frames are taken from a video that is shown from `begin` to `end`. Only for `fps`."""
        assert self.fps is not None
        # The end is a sum of rounded durations: a two-thousandth of a frame does not count.
        count = ceil((end - begin) * self.fps - 0.0005)
        return [begin + number / self.fps for number in range(max(count, 0))][: self.frames]


class VideoRequest(NamedTuple):
    """`size` is (height, width) [pixels]; more than `max_bytes` [bytes] of frames are refused."""

    sampling: Sampling = Sampling()
    size: tuple[int, int] | None = None
    max_bytes: int = MAX_DECODED


class Clip(NamedTuple):
    """Frames [T, H, W, 3] uint8, the time at which each is shown [T] float64 [s], and the frames per second of the file."""

    frames: NDArray[np.uint8]
    pts: NDArray[np.float64]
    fps: float


class Sound(NamedTuple):
    """Samples [C, N] float32, -1..1, and their number per second."""

    samples: Any
    rate: int


def require_room(size: int, max_bytes: int) -> None:
    """Raises ValueError for more [bytes] than are allowed: minutes of video are gigabytes, and a small file can stand for hours."""
    if size > max_bytes:
        raise ValueError(f"decodes to more than {max_bytes} bytes")
