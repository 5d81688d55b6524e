from __future__ import annotations

from collections.abc import Callable
from io import BytesIO

import numpy as np
import pytest
from PIL import Image


def encode_image(mode: str, kind: str = "png", height: int = 24, width: int = 40) -> bytes:
    """An image of the mode ("I;16", "P", ...) with smooth and noisy parts, the same at every call."""
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (height // 8, width // 8, 4))
    pixels = np.kron(coarse, np.ones((8, 8, 1))) + random.integers(-3, 4, (height, width, 4))
    pixels = np.clip(pixels, 0, 255).astype(np.uint8)
    if mode == "I;16":
        image = Image.fromarray(pixels[:, :, 0].astype(np.uint16) * 257 // 100)
    elif mode in {"RGBA", "LA"}:
        image = Image.fromarray(pixels).convert(mode)
    else:
        image = Image.fromarray(pixels[:, :, :3]).convert(mode)
    assert image.mode == mode
    file = BytesIO()
    image.save(file, kind)
    return file.getvalue()


@pytest.fixture(scope="session")
def encoded() -> Callable[..., bytes]:
    return encode_image
