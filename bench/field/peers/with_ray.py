"""Ray Data: `read_webdataset` on a Ray of one machine, which is started before the clock; images by its own decoder (Pillow)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np
import ray
import ray.data

from bench.field.peers.again import Again
from bench.harness import World


def start(_: World) -> None:
    ray.init(num_cpus=os.cpu_count(), include_dashboard=False, log_to_driver=False, object_store_memory=2 << 30)
    ray.data.DataContext.get_current().enable_progress_bars = False


def samples(world: World) -> Iterable[Any]:
    return Again(partial(_rows, ray.data.read_webdataset(world["urls"], decoder=False)))


def _rows(dataset: Any) -> Iterator[dict[str, Any]]:
    for batch in dataset.iter_batches(batch_size=64, prefetch_batches=4, batch_format="numpy"):
        fields = [name for name in batch if not name.startswith("__")]
        for row in zip(*(batch[name] for name in fields), strict=True):
            yield dict(zip(fields, row, strict=True))


def batches(world: World) -> Iterable[Any]:
    dataset = ray.data.read_webdataset(world["urls"], fileselect=["*.jpg"])
    return Again(partial(_images, dataset, world["batch"]))


def _images(dataset: Any, size: int) -> Iterator[Any]:
    for batch in dataset.iter_batches(batch_size=size, prefetch_batches=2, batch_format="numpy"):
        yield np.asarray(batch["jpg"])
