"""The types of items and stages, for type checkers. Variables have defaults, which Python 3.11 doesn't know."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from random import Random
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    ItemT_co = TypeVar("ItemT_co", covariant=True, default=Any)  # `WebDataset` alone is one of any items
    T_contra = TypeVar("T_contra", contravariant=True)
    U_co = TypeVar("U_co", covariant=True)

    class SeededFunction(Protocol[T_contra, U_co]):
        """A function of an item that takes random numbers of the item's own."""

        def __call__(self, item: T_contra, /, *, rng: Random) -> U_co: ...

else:
    from typing import TypeVar

    ItemT_co = TypeVar("ItemT_co", covariant=True)

A = TypeVar("A")
B = TypeVar("B")

Head = Iterable[A] | Callable[[], Iterable[A]]  # what a pipeline begins with
StageFunction = Callable[[Iterator[A]], Iterable[B]]
