"""A `len()` for those who ask for one. An iterable dataset has none by itself: where there is a `__len__`, loaders call it."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any, TypeVar

from asyncwds.engine.source import Source
from asyncwds.pipeline.run import Description
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
    if not is_countable(self._description):  # the list of stages was changed; a TypeError is what objects without a len() give
        raise TypeError("of these stages nobody knows how many items they give")
    return count_items(self._description, current_worker_info())


def is_countable(description: Description) -> bool:
    """Whether manifests tell how many items an iteration has: of all shards, and no stage drops or gathers some."""
    head, *stages = description.stages or (None,)
    if not isinstance(head, Source) or not head.records or (head.draw, head.select_files, head.rename_files) != (None, None, None):
        return False
    if description.passes is None and description.items is None:
        return False
    # A stage that says `one_to_one` gives as many items as it takes, but for those that its handler skips.
    return all(getattr(stage, "one_to_one", False) for stage in stages) and all(url in head.records for url in head.urls)


def count_items(description: Description, place: WorkerInfo) -> int:
    """The items of an iteration of what is countable, of all workers of the place's rank together."""
    if description.passes is None:
        return description.items or 0
    source: Source = description.stages[0]
    shards = source.shards(0, replace(place, worker=0, num_workers=1))
    items = description.passes * sum(source.records[shard.url].samples for shard in shards)
    return items if description.items is None else min(items, description.items)


def _reduced(self: Any) -> tuple[Any, ...]:
    return _restored, (type(self).__mro__[1],), self.__getstate__()


def _restored(kind: Any) -> Any:
    return add_length_method(kind.__new__(kind))
