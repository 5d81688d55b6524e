"""A dataset as data, how far an iteration of it has come, and what can be told from the description alone: a `len()` for those
who ask for one. An iterable dataset has none by itself: where there is a `__len__`, loaders call it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from asyncwds.engine.source import Source
from asyncwds.runtime.worker_info import WorkerInfo, current_worker_info
from asyncwds.settings.reading import Ledger

if TYPE_CHECKING:
    from asyncwds.pipeline.skip_list import SkipList
    from asyncwds.pipeline.skipping import SkippingPlaces


@dataclass(frozen=True)
class Description:
    """A dataset as data: the stages, and how often the data are passed over.

    The first stage is where items come from: a `Source`, anything that can be iterated, or a function without arguments.
    `passes` and `items` (after the stages) bound one iteration; None is without end. With a `ledger` its items are followed. What
    `skip` names is left out where shards are read.
    """

    stages: tuple[Any, ...] = ()
    seed: int = 0
    passes: int | None = 1
    items: int | None = None
    ledger: Ledger | None = None
    skip: SkipList | SkippingPlaces | None = None


def reseeded(description: Description, seed: int) -> Description:
    """The same with another seed of all orders that have none of their own."""
    head, *stages = description.stages or (None,)
    if isinstance(head, Source) and head.seed != seed:
        return replace(description, stages=(replace(head, seed=seed), *stages), seed=seed)
    if hasattr(head, "reseeded"):
        return replace(description, stages=(head.reseeded(seed), *stages), seed=seed)
    return replace(description, seed=seed)


def is_countable(description: Description) -> bool:
    """Whether it is known how many items an iteration has: of all shards, and no stage drops or gathers some.

    Stages may gather some where it is known how many each worker has.
    """
    head, *stages = description.stages or (None,)
    if not isinstance(head, Source) or (description.passes is None and description.items is None):
        return False
    if head.split is not None:
        return all(_is_one_to_one(stage) or hasattr(stage, "gathered") for stage in stages)
    if not head.records or (head.draw, head.select_files, head.rename_files) != (None, None, None):
        return False
    return all(map(_is_one_to_one, stages)) and all(url in head.records for url in head.urls)


def _is_one_to_one(stage: Any) -> bool:
    """Whether it gives as many items as it takes, but for those that its handler skips."""
    return bool(getattr(stage, "one_to_one", False))


def count_items(description: Description, place: WorkerInfo) -> int:
    """The items of an iteration of what is countable, of all workers of the place's rank together."""
    if description.passes is None:
        return (description.items or 0) * (1 if description.stages[0].split is None else place.num_workers)
    if description.stages[0].split is not None:
        return _count_split(description, description.passes, place)
    source: Source = description.stages[0]
    shards = source.shards(0, replace(place, worker=0, num_workers=1))
    items = description.passes * sum(source.records[shard.url].samples for shard in shards)
    return items if description.items is None else min(items, description.items)


def _count_split(description: Description, passes: int, place: WorkerInfo) -> int:
    source, *stages = description.stages
    items: int = source.split.share(place)
    for stage in stages:
        items = items if _is_one_to_one(stage) else stage.gathered(items)
    items *= passes
    return place.num_workers * (items if description.items is None else min(items, description.items))


@dataclass(slots=True)
class Progress:
    """How far an iteration has come: its epoch, how many items of that it gave, and whether these are all."""

    epoch: int
    items: int = 0
    ended: bool = False


@dataclass(frozen=True, slots=True)
class PassState:
    """Where in its passes over the data an iteration stands, of which pass `number` gave `items` so far.

    `stages` are the states of its stages, from which on `skip` items were given. Where there are none, because of `reason`, the
    pass is begun anew. `kept` are stages that gave what they kept of the pass of another epoch, by number. `tally` is what had
    become of samples. `left_out` were left out among the items from the states on: the epoch of the pass,
    the index of the shard, the ordinal.
    """

    number: int = 0
    items: int = 0
    skip: int = 0
    stages: list[Any] | None = None
    reason: str | None = None
    reads_shards: bool = False
    kept: Mapping[str, int | None] = field(default_factory=dict)
    tally: Mapping[str, Any] = field(default_factory=dict)
    left_out: Sequence[Sequence[int]] = ()

    @property
    def has_begun(self) -> bool:
        """Whether this iteration, or those whose states were merged, gave something of the pass."""
        return self.items > 0 or self.stages is not None


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
