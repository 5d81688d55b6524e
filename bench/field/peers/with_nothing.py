"""No loader: the bytes alone by aiohttp, or the images alone by simplejpeg: what link and cores can give."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import repeat
from typing import Any

import aiohttp as _aiohttp  # noqa: F401 - before the clock starts
import numpy as np
import simplejpeg

from bench.field.peers.again import Again
from bench.field.peers.tar_samples import tar_samples
from bench.harness import World
from bench.peers import bare_download
from bench.tally import Tally


def samples(world: World) -> Callable[[Tally], None]:
    """Called with the tally, since parts are no samples."""
    return partial(bare_download, world)


def batches(world: World) -> Iterable[Any]:
    """Of images in memory, whose batches are written in place."""
    return Again(partial(_decoded, world, [sample["jpg"] for sample in tar_samples(world["shards"][0])]))


def _decoded(world: World, encoded: list[bytes]) -> Iterator[Any]:
    size = world["batch"]
    chunks = [encoded[start : start + size] for start in range(0, len(encoded), size)]
    with ThreadPoolExecutor(world["threads"]) as pool:
        for chunk in chunks:
            batch = np.empty((len(chunk), world["height"], world["width"], 3), np.uint8)
            list(pool.map(_decode, chunk, batch))
            yield batch


def _decode(data: bytes, place: Any) -> None:
    simplejpeg.decode_jpeg(data, "RGB", buffer=place)


def still(world: World) -> Iterable[Any]:
    """A batch that is there, over and over: what a step of the training takes by itself."""
    batch = np.zeros((world["batch"], world["height"], world["width"], 3), np.uint8)
    return repeat(batch)
