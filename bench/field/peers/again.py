"""Streams that generators make, to be iterated more than once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any


class Again:
    """Each iteration calls `make` anew."""

    def __init__(self, make: Callable[[], Iterable[Any]]) -> None:
        self._make = make

    def __iter__(self) -> Iterator[Any]:
        return iter(self._make())
