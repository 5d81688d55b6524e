"""MosaicML streaming: its own format, one state of rank 0 for all."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import transformers.utils.import_utils  # noqa: F401 - it looks for torchvision by itself

from bench.exactly_once.rank import BATCH, SAMPLES, SHARDS, initialise_ranks

# streaming derives from a class of torchvision, which may have no build for the torch that is there, and of which nothing is used.
if find_spec("torchvision") is None:
    for name in ("torchvision", "torchvision.datasets", "torchvision.transforms", "torchvision.transforms.functional"):
        sys.modules[name] = ModuleType(name)
    vars(sys.modules["torchvision.datasets"]).update(VisionDataset=object)
    vars(sys.modules["torchvision.transforms.functional"]).update(to_tensor=SimpleNamespace)

import streaming

PROMISE = "resume at the same size and at others, one state for all; the batch is divisible"


def write(folder: Path) -> None:
    with streaming.MDSWriter(out=str(folder), columns={"id": "int"}, size_limit=SAMPLES // SHARDS * 12) as out:
        for number in range(SAMPLES):
            out.write({"id": number})


@contextmanager
def reading(folder: Path, rank: int, world_size: int, states: list[Any] | None) -> Iterator[tuple[Any, Callable[[], Any]]]:
    with initialise_ranks(rank, world_size):
        options = {"shuffle": True, "shuffle_seed": 1, "batch_size": BATCH, "num_canonical_nodes": 1}
        dataset = streaming.StreamingDataset(local=str(folder), **options)
        loader = streaming.StreamingDataLoader(dataset, batch_size=BATCH, num_workers=0)
        if states is not None:
            loader.load_state_dict(states[0])
        yield (batch["id"] for batch in loader), loader.state_dict
