"""Where a video goes on with another scene."""

from __future__ import annotations

from typing import Any

import numpy as np

_WIDTH, _HEIGHT = 64, 36


class SceneCuts:
    """Compares each picture with the one before: the mean difference of small gray copies, 0 to 1."""

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._last: Any = None

    def is_cut(self, frame: Any) -> bool:
        small = frame.reformat(_WIDTH, _HEIGHT, "gray").to_ndarray().astype(np.int16)
        last, self._last = self._last, small
        return last is not None and float(np.abs(small - last).mean()) / 255 > self._threshold
