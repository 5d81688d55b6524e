"""A dataset as data, and what can be told from that alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from asyncwds.engine.source import Source
from asyncwds.runtime.worker_info import WorkerInfo
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
