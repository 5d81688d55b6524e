"""Which shards a process reads, as WebDataset's functions: in a pipeline, as splitters of a dataset, or called by themselves.

They take the place that they are given, as datasets and pipelines do, and else find it themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

from asyncwds.errors import SpecError
from asyncwds.runtime.worker_info import WorkerInfo, current_worker_info

T = TypeVar("T")


def single_node_only(src: Iterable[T], group: Any = None, *, place: WorkerInfo | None = None) -> Iterable[T]:
    """The default nodesplitter: all shards, and a SpecError where there is more than one node, which would read the same."""
    _require_single_node(place or current_worker_info(group))
    return src


def split_by_node(src: Iterable[T], group: Any = None, *, place: WorkerInfo | None = None) -> Iterator[T]:
    """Every `world_size`-th shard, beginning with number `rank`; both in the process group, if one is given."""
    place = place if place is not None and group is None else current_worker_info(group)
    return islice(src, place.rank, None, place.world_size)


def split_by_worker(src: Iterable[T], *, place: WorkerInfo | None = None) -> Iterator[T]:
    """Every `num_workers`-th shard, beginning with number `worker`."""
    place = place or current_worker_info()
    return islice(src, place.worker, None, place.num_workers)


def kept_by(splitter: object, place: WorkerInfo) -> slice | None:
    """Which shards it keeps at a place, if it is one of these. Raises SpecError where `single_node_only` does."""
    if splitter is split_by_node:
        return slice(place.rank, None, place.world_size)
    if splitter is split_by_worker:
        return slice(place.worker, None, place.num_workers)
    if splitter is single_node_only:
        _require_single_node(place)
        return slice(0, None, 1)
    return None


def splits_by_itself(splitter: object) -> bool:
    """Whether it is one of these, for shards that each place draws for itself: they need no splitting."""
    return splitter in (single_node_only, split_by_node, split_by_worker)


def _require_single_node(place: WorkerInfo) -> None:
    if place.world_size > 1:
        raise SpecError(
            f"there are {place.world_size} nodes, and all would read the same shards: pass nodesplitter=split_by_node,"
            " or nodesplitter=None if that is what you want"
        )
