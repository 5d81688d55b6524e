"""Where this process stands among the ranks and workers: torch's word if it has one, else the launcher's variables."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import Any

from asyncwds.errors import SpecError


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """Which part of the data this process reads: read anew when an iteration starts."""

    rank: int = 0
    world_size: int = 1
    worker: int = 0
    num_workers: int = 1


def _number(name: str, default: int) -> int:
    value = os.environ.get(name)
    if not value:
        return default
    try:
        return int(value)
    except ValueError:
        raise SpecError(f"the environment variable {name} must be a whole number, not {value!r}") from None


def worker_info_from_environment() -> WorkerInfo:
    """RANK and WORLD_SIZE (torchrun's names), WORKER and NUM_WORKERS (WebDataset's). Each pair counts only if both are set."""
    place = WorkerInfo()
    if os.environ.get("RANK") and os.environ.get("WORLD_SIZE"):
        place = WorkerInfo(rank=_number("RANK", 0), world_size=_number("WORLD_SIZE", 1))
    if os.environ.get("WORKER") and os.environ.get("NUM_WORKERS"):
        place = WorkerInfo(place.rank, place.world_size, _number("WORKER", 0), _number("NUM_WORKERS", 1))
    return place


def current_worker_info(group: Any = None) -> WorkerInfo:
    """Rank and world size of torch.distributed if it is initialised, and the DataLoader's worker; else the environment's.

    With a process group of torch, rank and world size are those in it.
    """
    place = worker_info_from_environment()
    rank, world_size = place.rank, place.world_size
    # Where torch.distributed has not been imported it is not initialised either.
    distributed: Any = sys.modules.get("torch.distributed")
    if group is not None:
        rank, world_size = group.rank(), group.size()
    elif distributed is not None and distributed.is_available() and distributed.is_initialized():
        rank, world_size = distributed.get_rank(), distributed.get_world_size()
    worker = _loader_worker()
    if worker is not None:
        return WorkerInfo(rank, world_size, worker.id, worker.num_workers)
    return WorkerInfo(rank, world_size, place.worker, place.num_workers)


def in_worker() -> bool:
    """Whether this process is a worker of a torch DataLoader or of a `MultiLoader`."""
    return _loader_worker() is not None or bool(os.environ.get("WORKER") and os.environ.get("NUM_WORKERS"))


def _loader_worker() -> Any:
    """What torch knows of the worker that this process is; None where it is none, or where torch has not been imported."""
    data: Any = sys.modules.get("torch.utils.data")
    return None if data is None else data.get_worker_info()
