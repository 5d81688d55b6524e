"""A random crop by Pillow, as torchvision's RandomResizedCrop and RandomHorizontalFlip make it of a whole image."""

from __future__ import annotations

import math
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

SIZE = 224


def window(width: int, height: int, random: Random) -> tuple[int, int, int, int]:
    """Left, top, width, height: 8 to 100 % of the area, 3:4 to 4:3; the whole image where ten tries do not fit."""
    for _ in range(10):
        area = width * height * random.uniform(0.08, 1)
        ratio = math.exp(random.uniform(math.log(3 / 4), math.log(4 / 3)))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            return random.randint(0, width - w), random.randint(0, height - h), w, h
    return 0, 0, width, height


def random_crop(image: Image, random: Random) -> Image:
    from PIL import Image as pillow  # noqa: N813

    left, top, w, h = window(image.width, image.height, random)
    crop = image.resize((SIZE, SIZE), pillow.Resampling.BILINEAR, box=(left, top, left + w, top + h))
    return crop.transpose(pillow.Transpose.FLIP_LEFT_RIGHT) if random.random() < 0.5 else crop
