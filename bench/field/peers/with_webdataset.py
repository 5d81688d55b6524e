"""webdataset: its own pipeline in the workers of a WebLoader, batches made there; samples with workers or without."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from io import BytesIO
from random import Random
from typing import Any

import numpy as np
import webdataset as wds
from PIL import Image

from bench.field.peers.again import Again
from bench.field.peers.random_crop import random_crop
from bench.harness import World


def _dataset(world: World) -> Any:
    handler = wds.ignore_and_continue if world.get("may_lose") else wds.reraise_exception
    return wds.WebDataset(world["urls"], shardshuffle=False, handler=handler)


def samples(world: World) -> Iterable[Any]:
    workers = world.get("workers", 0)
    dataset = _dataset(world)
    return wds.WebLoader(dataset, batch_size=None, num_workers=workers) if workers else dataset  # type: ignore[no-any-return]


def _images(world: World, dataset: Any) -> Iterable[Any]:
    batched = dataset.to_tuple("jpg").batched(world["batch"])
    workers = world.get("workers", 2)
    # persistent_workers keeps them for the next epoch.
    loader = wds.WebLoader(batched, batch_size=None, num_workers=workers, persistent_workers=workers > 0)
    return Again(partial(_columns, loader))


def _columns(loader: Any) -> Iterator[Any]:
    for (images,) in loader:
        yield images


def batches(world: World) -> Iterable[Any]:
    return _images(world, _dataset(world).decode("rgb8"))


def crops(world: World) -> Iterable[Any]:
    return _images(world, _dataset(world).map_dict(jpg=_crop_of(Random(0))))


def _crop_of(random: Random) -> Callable[[bytes], Any]:
    def crop(data: bytes) -> Any:
        image = Image.open(BytesIO(data)).convert("RGB")
        return np.asarray(random_crop(image, random))

    return crop
