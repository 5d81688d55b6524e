"""Where this process stands, among ranks and workers (by torch's word if it has one, else by the launcher's variables) and among
forks; and the seeds of random orders that follow from that.

Seeds are the same in every process and release. Stages by themselves draw as WebDataset does, and in a dataset by its seed, epoch
and place. `os.getpid` is a system call: 0.6 to 1.5 µs on a virtual machine, a tenth of a small sample's time, where `ForkCount`
takes 0.03.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from zlib import crc32

from asyncwds import checks
from asyncwds.errors import SpecError
from asyncwds.formatting.texts import show_value


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
    return in_torch_worker() or bool(os.environ.get("WORKER") and os.environ.get("NUM_WORKERS"))


def in_torch_worker() -> bool:
    return _loader_worker() is not None


def _loader_worker() -> Any:
    """What torch knows of the worker that this process is; None where it is none, or where torch has not been imported."""
    data: Any = sys.modules.get("torch.utils.data")
    return None if data is None else data.get_worker_info()


class ForkCount:
    """How often this process and those before it were forked; an object made at another `number` is a parent's."""

    __slots__ = ("number",)

    def __init__(self) -> None:
        self.number = 0
        os.register_at_fork(after_in_child=self._count)

    def _count(self) -> None:
        self.number += 1


FORKS = ForkCount()


def make_seed(*parts: object) -> int:
    """A seed [31 bits] made of numbers, text, bytes, None and tuples of such. For numbers it is WebDataset's.

    Unlike there, text counts by its content and not by its hash, which is another one in every process.
    Raises SpecError for other things.
    """
    seed = 0
    for part in parts:
        seed = (seed * 31 + _number_of(part)) & 0x7FFFFFFF
    return seed


def _number_of(part: object) -> int:
    match part:
        case int() | float():
            return hash(part)
        case str():
            return crc32(part.encode("utf-8", "surrogatepass"))
        case bytes():
            return crc32(part)
        case None:
            return 0
        case tuple():
            return make_seed(*part)
    raise SpecError(f"a seed is made of numbers, text, bytes, None and tuples of such, not of {type(part).__name__}")


def dataset_seed(seed: int | None, otherwise: int | None = None) -> int:
    """The seed given, else $WDS_SEED, else `otherwise`, else one that is drawn. Raises SpecError for what is no whole number."""
    if seed is not None:
        return checks.whole("seed", seed)
    text = os.environ.get("WDS_SEED")
    if not text and otherwise is not None:
        return otherwise
    if not text:
        return random.randrange(1_000_000)  # noqa: S311 - an order, not a secret; follows random.seed() as WebDataset does
    try:
        return int(text)
    except ValueError:
        raise SpecError(f"the environment variable WDS_SEED must be a whole number, not {text!r}") from None


def item_rng(seed: int, epoch: int, origin: Iterable[int]) -> random.Random:
    """Draws for one item of an epoch, by where it came from (shard, ordinal, offset): the same in every process and release,
    whatever was drawn for other items, in whatever order and by however many threads.

    Python's generator and not numpy's: it is made in a fifth of the time, and the numbers of its `random()` stay the same in
    later versions. For arrays: `numpy.random.default_rng(rng.getrandbits(128))`.
    """
    return random.Random(" ".join(map(str, (seed, epoch, *origin))))  # noqa: S311 - an augmentation, no secret


def rng_at(seed: int, epoch: int, place: WorkerInfo) -> random.Random:
    """Draws for one epoch at one place. The same in every process and release: of text, Random takes a hash that is."""
    return random.Random(f"{seed} {epoch} {place.rank} {place.worker}")  # noqa: S311 - an order, no secret


def checked_seed(stage: str, seed: int | None, rng: object = None) -> int | None:
    """The seed as Python's number. Raises SpecError for one that is no whole number or beside an rng, and an rng that is none."""
    if seed is not None and rng is not None:
        raise SpecError(f"{stage} takes a seed or an rng, not both")
    if rng is not None and not hasattr(rng, "random"):
        raise SpecError(f"{stage}: rng must be a random.Random, not {show_value(rng)}")
    return None if seed is None else checks.whole(f"{stage}: seed", seed)
