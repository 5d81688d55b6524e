"""torch's DataLoader over a folder of files, two workers; images by Pillow, as torchvision's ImageFolder opens them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset

from bench.field.peers.again import Again
from bench.field.peers.made_batches import MadeBatches
from bench.field.peers.random_crop import random_crop
from bench.field.peers.tar_samples import tar_samples
from bench.harness import World


def convert(world: World) -> None:
    """A folder for each shard, a file for each field."""
    for number, shard in enumerate(world["shards"]):
        folder = Path(world["files"], f"{number:06d}")
        folder.mkdir(parents=True)
        for index, sample in enumerate(tar_samples(shard)):
            for field, data in sample.items():
                (folder / f"{index:06d}.{field}").write_bytes(data)


class Files(Dataset):  # type: ignore[misc]
    """A sample for each stem."""

    def __init__(self, folder: str) -> None:
        paths: dict[str, list[str]] = {}
        for path in sorted(Path(folder).glob("*/*")):
            paths.setdefault(str(path.with_suffix("")), []).append(str(path))
        self.paths = list(paths.values())

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> dict[str, bytes]:
        return {path.rpartition(".")[2]: Path(path).read_bytes() for path in self.paths[index]}


class Images(Files):
    def __init__(self, folder: str, make: Callable[[Any], Any]) -> None:
        super().__init__(folder)
        self.paths = [[path] for paths in self.paths for path in paths if path.endswith(".jpg")]
        self.make = make

    def __getitem__(self, index: int) -> Any:
        image = Image.open(BytesIO(super().__getitem__(index)["jpg"])).convert("RGB")
        return torch.from_numpy(np.array(self.make(image)))


def _loader(dataset: Any, world: World, **options: Any) -> Any:
    workers = world.get("workers", 2)
    return DataLoader(dataset, batch_size=world["batch"], num_workers=workers, persistent_workers=workers > 0, **options)


def samples(world: World) -> Iterable[Any]:
    loader = _loader(Files(world["files"]), world, collate_fn=list)
    return Again(lambda: (sample for batch in loader for sample in batch))


def batches(world: World) -> Iterable[Any]:
    return _loader(Images(world["files"], lambda image: image), world)  # type: ignore[no-any-return]


def crops(world: World) -> Iterable[Any]:
    random = Random(0)
    return _loader(Images(world["files"], lambda image: random_crop(image, random)), world)  # type: ignore[no-any-return]


class Made(MadeBatches, IterableDataset):  # type: ignore[misc]
    pass


def fields(world: World) -> Iterable[Any]:
    made = Made(world["number"], world["fields"])
    return DataLoader(made, batch_size=None, num_workers=1, multiprocessing_context="fork")  # type: ignore[no-any-return]
