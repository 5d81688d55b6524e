"""datago: images only, which it downloads and decodes in threads of Rust; batches are made of them here."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from typing import Any

import datago
import numpy as np

from bench.field.peers.again import Again
from bench.harness import World


def _images(world: World) -> Iterator[Any]:
    source = {"url": world["pattern"], "random_sampling": False, "concurrent_downloads": 8, "reference_image_type": "jpg"}
    config = {
        "source_type": "webdataset",
        "source_config": {**source, "rank": 0, "world_size": 1},
        "prefetch_buffer_size": 128,
        "samples_buffer_size": 64,
        "limit": world["samples"],
    }
    client = datago.DatagoClient(json.dumps(config))
    try:
        while (sample := client.get_sample()) is not None:
            yield sample.image.to_numpy_array()
    finally:
        client.stop()


def batches(world: World) -> Iterable[Any]:
    return Again(partial(_batched, world))


def _batched(world: World) -> Iterator[Any]:
    images = _images(world)
    while batch := list(islice(images, world["batch"])):
        yield np.stack(batch)
