"""What is written, read back."""

import tarfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import webdataset as published

from tests.compat.cases.registry import add

WRITTEN: dict[str, dict[str, Any]] = {
    "bytes": {"bin": b"1", "other.ext": b"2"},
    "text": {"txt": "text", "html": "<p>"},
    "numbers": {"cls": 3, "index": 4, "count": 5},
    "json": {"json": {"a": [1, None]}},
    "pickle": {"pyd": {"a": (1, 2)}},
    "npy": {"npy": np.arange(4)},
    "npz": {"npz": {"a": np.arange(2)}},
    "pth": {"pth": torch.arange(3)},
    "tenbin": {"ten": [np.arange(3, dtype="f4")]},
    "png": {"png": np.full((4, 5, 3), 9, np.uint8)},
    "ppm": {"ppm": np.full((4, 5, 3), 9, np.uint8)},
    "gz": {"json.gz": {"a": 1}},
    "private": {"_private": "x", "txt": "y"},
    "no encoder": {"unknown": 5},
    "image by handler": {"jpg": np.full((8, 8, 3), 128, np.uint8)},
}


def written(wds: Any, folder: Path, sample: dict[str, Any], **options: Any) -> list[Any]:
    path = folder / "w.tar"
    with wds.TarWriter(str(path), **options) as writer:
        for i in range(2):
            writer.write({"__key__": f"k{i}", **sample})
    with tarfile.open(path) as archive:
        return [(entry.name, entry.uname, entry.mode, read_back(archive, entry)) for entry in archive]


def read_back(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> Any:
    data = archive.extractfile(entry).read()
    kind = entry.name.partition(".")[2]
    return next(published.decode("rgb8")(iter([{"__key__": "k", kind: data}])))[kind]


for name, sample in WRITTEN.items():
    add(f"TarWriter: {name}", partial(written, sample=sample))
for name, options in {"user and mode": {"user": "me", "mode": 0o600}, "keep_meta": {"keep_meta": True},
                      "encoder=False": {"encoder": False},
                      "compress": {"compress": True}, "bz2": {"compress": "bz2"}, "xz": {"compress": "xz"}}.items():  # fmt: skip
    add(f"TarWriter with {name}", partial(written, sample={"txt": b"x", "_meta": "y"}, **options))


def shards_written(wds: Any, folder: Path, **options: Any) -> list[Any]:
    posted: list[str] = []
    with wds.ShardWriter(
        str(folder / "o-%02d.tar"), verbose=0, post=lambda name: posted.append(Path(name).name), **options
    ) as writer:
        for i in range(10):
            writer.write({"__key__": f"k{i}", "txt": f"{i}"})
    return [posted, [(Path(s["__url__"]).name, s["txt"]) for s in published.WebDataset(
        sorted(map(str, folder.glob("o-*.tar"))), shardshuffle=False)]]  # fmt: skip


for options in ({"maxcount": 3}, {"maxcount": 10}, {"maxcount": 4, "start_shard": 7}):
    add(f"ShardWriter {options}", partial(shards_written, **options))
for data, extension in ((5, "k.cls"), ("x", "k.txt"), (b"1", "k.bin"), ([1], "k.json"), (object(), "k.cls2x")):
    add(
        f"encode_based_on_extension1 {extension}",
        lambda wds, _, data=data, extension=extension: [
            wds.writer.encode_based_on_extension1(data, extension, wds.writer.default_handlers)
        ],
    )
