"""LitData: its own format, from a folder or an S3 endpoint, by its StreamingDataLoader with two workers; images by Pillow."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from io import BytesIO
from typing import Any

import numpy as np
import torch
from litdata import StreamingDataLoader, StreamingDataset, optimize
from litdata.streaming import downloader
from PIL import Image

from bench.field.peers.again import Again
from bench.field.peers.tar_samples import tar_samples
from bench.harness import World

# The client that its workers read S3 with refuses endpoints without TLS, and takes no option for that.
vars(downloader).get("_OBSTORE_CLIENT_OPTIONS", {}).update(allow_http=True)


def _samples_of(shard: str) -> Iterator[dict[str, bytes]]:
    yield from tar_samples(shard)


def convert(world: World) -> None:
    optimize(fn=_samples_of, inputs=world["shards"], output_dir=world["litdata"], chunk_bytes="64MB", num_workers=1)


def _dataset(world: World, **options: Any) -> Any:
    if world.get("local"):
        return StreamingDataset(world["litdata"], shuffle=False, **options)
    os.environ.update(AWS_ACCESS_KEY_ID="any", AWS_SECRET_ACCESS_KEY="any", AWS_REGION="us-east-1", AWS_DEFAULT_REGION="us-east-1")
    storage = {"endpoint_url": world["endpoint"]}
    cache = tempfile.mkdtemp(dir=world["scratch"])
    where = {"cache_dir": cache, "storage_options": storage, "max_pre_download": world["connections"]}
    return StreamingDataset(world["litdata_s3"], shuffle=False, **where, **options)


def _loader(dataset: Any, world: World, **options: Any) -> Any:
    workers = world.get("workers", 2)
    return StreamingDataLoader(dataset, batch_size=world["batch"], num_workers=workers, persistent_workers=workers > 0, **options)


def _plain(sample: dict[str, memoryview]) -> dict[str, bytes]:
    """Bytes in place of views, which workers cannot hand over."""
    return {name: bytes(value) for name, value in sample.items()}


def samples(world: World) -> Iterable[Any]:
    loader = _loader(_dataset(world, transform=_plain), world, collate_fn=list)
    return Again(lambda: (sample for batch in loader for sample in batch))


def _decoded(sample: dict[str, bytes]) -> Any:
    return torch.from_numpy(np.array(Image.open(BytesIO(sample["jpg"])).convert("RGB")))


def batches(world: World) -> Iterable[Any]:
    return _loader(_dataset(world, transform=_decoded), world)  # type: ignore[no-any-return]
