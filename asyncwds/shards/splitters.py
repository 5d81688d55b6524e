"""Which shards a process reads, as WebDataset's functions: in a pipeline, as splitters of a dataset, or called by themselves.

They take the place that they are given, as datasets and pipelines do, and else find it themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from asyncwds.runtime.worker_info import WorkerInfo, current_worker_info
from asyncwds.shards import plan

T = TypeVar("T")


def single_node_only(src: Iterable[T], group: Any = None, *, place: WorkerInfo | None = None) -> Iterable[T]:
    """The default nodesplitter: all shards, and a SpecError where there is more than one node, which would read the same."""
    return plan.single_node_only(src, place=place or current_worker_info(group))


def split_by_node(src: Iterable[T], group: Any = None, *, place: WorkerInfo | None = None) -> Iterator[T]:
    """Every `world_size`-th shard, beginning with number `rank`; both in the process group, if one is given."""
    return iter(plan.split_by_node(src, place=place if place is not None and group is None else current_worker_info(group)))


def split_by_worker(src: Iterable[T], *, place: WorkerInfo | None = None) -> Iterator[T]:
    """Every `num_workers`-th shard, beginning with number `worker`."""
    return iter(plan.split_by_worker(src, place=place or current_worker_info()))


def splits_by_itself(splitter: object) -> bool:
    """Whether it is one of these, for shards that each place draws for itself: they need no splitting."""
    return splitter in (single_node_only, split_by_node, split_by_worker, *_PURE)


_PURE = (plan.single_node_only, plan.split_by_node, plan.split_by_worker)
