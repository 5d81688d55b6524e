"""The edge to torch: `WebDataset` as a torch IterableDataset that knows its rank and its DataLoader worker.

`asyncwds.WebDataset` is this class wherever torch is installed, and the plain one elsewhere.
"""

from __future__ import annotations

from typing import Any

import torch.distributed
from torch.utils.data import IterableDataset, get_worker_info

from asyncwds.model import Place
from asyncwds.pipeline import dataset
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
