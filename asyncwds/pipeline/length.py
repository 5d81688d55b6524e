"""A `len()` for those who ask for one. An iterable dataset has none by itself: where there is a `__len__`, loaders call it."""

from __future__ import annotations

from functools import cache
from typing import Any, TypeVar

from asyncwds.pipeline.description import Description, count_items, is_countable
from asyncwds.runtime.worker_info import WorkerInfo, current_worker_info

T = TypeVar("T")


def add_length_method(obj: T) -> T:
    """Gives the object a `len()`, which is its attribute `size`. Its class becomes NAME_Length; it can still be pickled."""
    kind: Any = type(obj)
    if getattr(kind, "__len__", None) is not _length:
        obj.__class__ = _with_length(kind)
    return obj


def remove_length_method(obj: Any) -> None:
    if getattr(type(obj), "__len__", None) is _length:
        obj.__class__ = type(obj).__mro__[1]


@cache
def _with_length(kind: Any) -> Any:
    # Only a class can have a `__len__`, and one that is made here can only be pickled by way of the one that it is made of.
    members = {"__len__": _length, "__reduce__": _reduced, "__module__": kind.__module__}
    return type(f"{kind.__name__}_Length", (kind,), members)


def _length(self: Any) -> int:
    if hasattr(self, "size"):
        return int(self.size)
    return count_items_of(self._description, current_worker_info())


def count_items_of(description: Description, place: WorkerInfo) -> int:
    """The items of the place's rank. Raises TypeError where nobody knows: it is what objects without a `len()` give."""
    if not is_countable(description):
        raise TypeError("of these stages nobody knows how many items they give")
    return count_items(description, place)


def _reduced(self: Any) -> tuple[Any, ...]:
    return _restored, (type(self).__mro__[1],), self.__getstate__()


def _restored(kind: Any) -> Any:
    return add_length_method(kind.__new__(kind))
