"""Batches that are there already, so that nothing but their hand-over takes time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

SHAPE = (64, 3, 224, 224)
POOL = 8  # arrays that take turns: more than any loader has in flight


class MadeBatches:
    """`number` batches of SHAPE bytes, each a dict of `fields` arrays."""

    def __init__(self, number: int, fields: int) -> None:
        self.number, self.fields = number, fields

    def __iter__(self) -> Iterator[dict[str, Any]]:
        pool = [np.full(SHAPE, index, np.uint8) for index in range(POOL)]
        for number in range(self.number):
            yield {str(index): field for index, field in enumerate(np.split(pool[number % POOL], self.fields))}
