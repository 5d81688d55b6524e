"""The edge to torch: datasets as torch IterableDatasets that know their rank and their DataLoader worker.

`asyncwds.WebDataset` and its like are these classes wherever torch is installed, and the plain ones elsewhere.
"""

from __future__ import annotations

from typing import Any

import torch.distributed
from torch.utils.data import IterableDataset, get_worker_info

from asyncwds.model import Place
from asyncwds.pipeline import dataset, epochs, mixing
from asyncwds.pipeline.place import place_from_environment


def place_from_torch() -> Place:
    """Rank and world size of torch.distributed if it is initialised, and the DataLoader's worker; else the environment's."""
    place = place_from_environment()
    rank, world_size = place.rank, place.world_size
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        rank, world_size = torch.distributed.get_rank(), torch.distributed.get_world_size()
    worker = get_worker_info()
    if worker is not None:
        return Place(rank, world_size, worker.id, worker.num_workers)
    return Place(rank, world_size, place.worker, place.num_workers)


class WebDataset(dataset.WebDataset, IterableDataset[Any]):  # type: ignore[misc,unused-ignore] # torch may be absent here
    """The same dataset; a DataLoader recognises it and each worker reads its own shards."""

    def _place(self) -> Place:
        return place_from_torch()


class RandomMix(mixing.RandomMix, IterableDataset[Any]):  # type: ignore[misc,unused-ignore]
    """The same mix; a DataLoader recognises it and each worker draws its own samples."""

    def _place(self) -> Place:
        return place_from_torch()


class RoundRobin(mixing.RoundRobin, IterableDataset[Any]):  # type: ignore[misc,unused-ignore]
    """The same mix; a DataLoader recognises it."""

    def _place(self) -> Place:
        return place_from_torch()


class MockDataset(epochs.MockDataset, IterableDataset[Any]):  # type: ignore[misc,unused-ignore]
    """The same dataset; a DataLoader recognises it."""


class with_epoch(epochs.with_epoch, IterableDataset[Any]):  # type: ignore[misc,unused-ignore] # noqa: N801 - WebDataset's name
    """The same dataset; a DataLoader recognises it."""


class with_length(epochs.with_length, IterableDataset[Any]):  # type: ignore[misc,unused-ignore] # noqa: N801 - WebDataset's name
    """The same dataset; a DataLoader recognises it."""
