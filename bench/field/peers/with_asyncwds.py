"""asyncwds: one process, whose downloads run beside the loop, and threads for images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from importlib.util import find_spec
from pkgutil import resolve_name
from typing import Any

import asyncwds as wds
from bench.decode import FORMATS
from bench.field.peers.again import Again
from bench.field.peers.made_batches import MadeBatches
from bench.harness import World

# Imported with the first sample or image, and so here, before the clock starts, as the others' are.
LATER = (
    "asyncwds:WebDataset",
    "asyncwds:loader",
    "asyncwds.bridges.block_bridge",
    "asyncwds.codecs.crops",
    "asyncwds.codecs.decoders",
    "asyncwds.engine.tuning",
    "asyncwds.parallel.threads",
    "asyncwds.storage.stores.fetcher",
    *FORMATS,
    *(["simplejpeg"] if find_spec("simplejpeg") else []),
)
for each in LATER:
    resolve_name(each)


def start(world: World) -> None:
    """Imports what a process has imported that trains with torch, where it is to crop, and torch is there."""
    if world.get("resampler") == "auto" and find_spec("torch") is not None:
        resolve_name("torch")


def _dataset(world: World) -> Any:
    return wds.WebDataset(world["urls"], prefetch=world["connections"], shardshuffle=False)


def samples(world: World) -> Iterable[Any]:
    return _dataset(world)  # type: ignore[no-any-return]


def _pipeline(world: World) -> Any:
    return _dataset(world).decode("rgb8", workers=world.get("threads", "auto")).to_tuple("jpg").batched(world["batch"])


def batches(world: World) -> Iterable[Any]:
    return Again(partial(_columns, _pipeline(world)))


def crops(world: World) -> Iterable[Any]:
    dataset = _dataset(world).decode_crop(224, workers=world.get("threads", "auto"), resampler=world["resampler"])
    return Again(partial(_columns, dataset.to_tuple("jpg").batched(world["batch"])))


def batches_by_loader(world: World) -> Iterable[Any]:
    return Again(partial(_columns, wds.loader(_pipeline(world), processes=world["processes"], start_method="fork")))


def fields(world: World) -> Iterable[Any]:
    return wds.loader(MadeBatches(world["number"], world["fields"]), start_method="fork")


def _columns(dataset: Any) -> Iterator[Any]:
    for (images,) in dataset:
        yield images
