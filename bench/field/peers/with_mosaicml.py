"""MosaicML streaming: its own format (MDS), from a folder or an S3 endpoint, by a DataLoader with two workers; images by Pillow."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from io import BytesIO
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader

from bench.field.peers.again import Again
from bench.field.peers.tar_samples import tar_samples
from bench.field.peers.without_torchvision import stand_in_for_torchvision
from bench.harness import World

stand_in_for_torchvision()

from streaming import MDSWriter, StreamingDataset  # noqa: E402
from streaming.base.util import clean_stale_shared_memory  # noqa: E402


def start(_: World) -> None:
    clean_stale_shared_memory()  # of runs that were ended


def convert(world: World) -> None:
    columns = dict.fromkeys(world["names"], "bytes")
    with MDSWriter(out=world["mds"], columns=columns, size_limit=1 << 26) as writer:
        for shard in world["shards"]:
            for sample in tar_samples(shard):
                writer.write(sample)


def _where(world: World) -> dict[str, Any]:
    if world.get("local"):
        return {"local": world["mds"]}
    os.environ.update(AWS_ACCESS_KEY_ID="any", AWS_SECRET_ACCESS_KEY="any", AWS_DEFAULT_REGION="us-east-1")
    os.environ["S3_ENDPOINT_URL"] = world["endpoint"]
    return {"remote": world["mds_s3"], "local": tempfile.mkdtemp(dir=world["scratch"])}


class Images(StreamingDataset):  # type: ignore[misc]
    def __getitem__(self, index: int) -> Any:
        sample = super().__getitem__(index)
        return torch.from_numpy(np.array(Image.open(BytesIO(sample["jpg"])).convert("RGB")))


def _loader(kind: Any, world: World, **options: Any) -> Any:
    workers = world.get("workers", 2)
    # Samples that are downloaded ahead, by a worker: several shards, as its guide to performance advises.
    dataset = kind(**_where(world), shuffle=False, batch_size=world["batch"], num_canonical_nodes=1, predownload=world["batch"] * 8)
    return DataLoader(dataset, batch_size=world["batch"], num_workers=workers, persistent_workers=workers > 0, **options)


def samples(world: World) -> Iterable[Any]:
    loader = _loader(StreamingDataset, world, collate_fn=list)
    return Again(lambda: (sample for batch in loader for sample in batch))


def batches(world: World) -> Iterable[Any]:
    return _loader(Images, world)  # type: ignore[no-any-return]
