"""Other people's code runs under `install()`, and gives what it gives with the published wheel."""

import importlib.util
import json
import sys
from functools import partial
from io import BytesIO
from pathlib import Path
from types import ModuleType

import pytest
import webdataset as published
from PIL import Image

import asyncwds
import asyncwds.compat
from asyncwds.testing import make_shard

pytestmark = [
    pytest.mark.needs("torch"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # the published one closes no shard
]


def loaded(name: str) -> ModuleType:
    """The module anew: it finds the webdataset that is there."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / "theirs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # to be pickled by
    spec.loader.exec_module(module)
    return module


def with_published(name: str) -> ModuleType:
    module = loaded(name)
    assert module.wds is published
    # Since 1.0 it ends each archive with a bare {}, on which such grouping dies (its issue 384); here it is told not to.
    module.tar_file_expander = partial(published.tariterators.tar_file_expander, eof_value=None)
    return module


def with_ours(name: str) -> ModuleType:
    module = loaded(name)
    assert module.wds.WebDataset is asyncwds.WebDataset
    return module


@pytest.mark.parametrize("resampled", [False, True])
@pytest.mark.parametrize("workers", [0, 2])
def test_open_clip(shards, resampled, workers):
    expected = with_published("open_clip_like").batches(shards, resampled, workers)
    asyncwds.compat.install()
    try:
        found = with_ours("open_clip_like").batches(shards, resampled, workers)
    finally:
        asyncwds.compat.uninstall()
    assert [len(epoch) for epoch in found] == [5 * max(workers, 1)] * 2
    assert found == expected
    assert (found[0] == found[1]) == resampled  # their shuffle counts epochs, their resampling does not


def test_open_clip_with_a_shuffle_without_a_seed(installed, shards):
    dataset = with_ours("open_clip_like").pipeline(shards, resampled=False, workers=0, unseeded=True)
    captions = [text for _, texts in dataset for text in texts]
    assert sorted(captions) == sorted(f"CAPTION {i}" for i in range(30))
    assert captions != sorted(captions)


def test_open_clip_over_a_broken_shard(installed, shards, tmp_path):
    urls = asyncwds.expand_urls(shards)
    broken = tmp_path / "broken.tar"
    broken.write_bytes(Path(urls[1]).read_bytes()[:3000])
    module = with_ours("open_clip_like")
    keys = [
        sample["__key__"] for sample in module.tarfile_to_samples_nothrow([{"url": url} for url in (urls[0], str(broken), urls[2])])
    ]
    assert keys[:5] == [f"k{i:03}" for i in range(5)]
    assert keys[-5:] == [f"k{i:03}" for i in range(10, 15)]


def test_open_clip_keeps_repeated_fields_apart(installed):
    data = make_shard([{"__key__": "a", "x": b"1"}, {"__key__": "a", "x": b"2"}])
    assert [sample["x"] for sample in with_ours("open_clip_like").samples_by_bytes(data)] == [b"1", b"2"]


@pytest.fixture
def folder(shards: str) -> str:
    """With an info file, as timm's datasets have."""
    folder = Path(shards).parent
    info = {
        "train": {"filenames": "train-{000..003}.tar", "num_samples": 20},
        "val": {"filenames": "train-005.tar", "num_samples": 5},
    }
    (folder / "_info.json").write_text(json.dumps(info))
    return str(folder)


@pytest.mark.parametrize(("split", "training"), [("train", True), ("train", False), ("val", False)])
@pytest.mark.parametrize(("rank", "world"), [(0, 1), (1, 2)])
def test_timm(folder, split, training, rank, world):
    expected = with_published("timm_like").samples(folder, split, training, rank, world)
    asyncwds.compat.install()
    try:
        found = with_ours("timm_like").samples(folder, split, training, rank, world)
    finally:
        asyncwds.compat.uninstall()
    assert found == expected
    assert len(found) == {("train", True): 20, ("train", False): 20 // world}.get((split, training), 5 if rank == 0 else 0)


def test_timm_passes_over_what_it_cannot_decode(installed, tmp_path):
    image = BytesIO()
    Image.new("RGB", (8, 8)).save(image, "JPEG")
    fields = [{"jpg": b"no image", "cls": b"1"}, {"jpg": image.getvalue(), "cls": b"2"}]
    (tmp_path / "a.tar").write_bytes(make_shard([{"__key__": f"{key}", **each} for key, each in enumerate(fields)]))
    (tmp_path / "_info.json").write_text('{"train": {"filenames": "a.tar", "num_samples": 2}}')
    assert len(with_ours("timm_like").samples(str(tmp_path), "train", training=False)) == 1
