"""The published wheel and ours: the same pipelines, shards and seeds, the same outputs.

The cases are in `cases`. An error is an outcome too: what came before it counts, and that there was one. Defects that are
not copied are left out (`docs/from-webdataset.md`), and have tests of their own.
"""

import random
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import webdataset as published
from PIL import Image

import asyncwds.compat
from tests.compat.cases import broken, decoding, grouping, others, shards, stages, tenbin, writing
from tests.compat.cases.registry import CASES, Case
from tests.compat.cases.shards import data_set

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # the published one closes no shard

asyncwds.compat.install()
OURS = sys.modules["webdataset"]
asyncwds.compat.uninstall()


def plain(value: Any) -> Any:
    """Something that can be compared, and says its type."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value).__name__, [plain(item) for item in value]
    if isinstance(value, torch.Tensor):
        return "tensor", str(value.dtype), value.tolist()
    if isinstance(value, np.ndarray):
        return "array", str(value.dtype), value.tolist()
    if isinstance(value, Image.Image):
        return "image", value.mode, value.size, value.tobytes()
    return type(value).__name__, value


def outcome(case: Case, library: Any, folder: Path) -> Any:
    items = []
    random.seed(5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for item in case(library, folder):
                items.append(plain(item))
        except Exception:
            items.append("an error")
    return items


@pytest.mark.parametrize("name", CASES)
def test_both_give_the_same(name, tmp_path):
    expected = outcome(CASES[name], published, tmp_path)
    assert outcome(CASES[name], OURS, tmp_path) == expected


PLACES = [
    (rank, world, worker, workers)
    for world, workers in ((1, 2), (2, 1), (2, 3))
    for rank in range(world)
    for worker in range(workers)
]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("build", [
    lambda wds, urls: wds.WebDataset(urls, shardshuffle=False, nodesplitter=wds.split_by_node, empty_check=False),
    lambda wds, urls: wds.DataPipeline(wds.SimpleShardList(urls), wds.split_by_node, wds.split_by_worker, wds.tarfile_to_samples()),
    lambda wds, urls: wds.WebDataset(urls, shardshuffle=False),
    lambda wds, urls: [wds.utils.pytorch_worker_info(), wds.utils.pytorch_worker_seed()],
], ids=["dataset", "pipeline", "single node only", "worker info"])  # fmt: skip
def test_both_split_alike(place, build, monkeypatch, tmp_path):
    for name, number in zip(("RANK", "WORLD_SIZE", "WORKER", "NUM_WORKERS"), place, strict=True):
        monkeypatch.setenv(name, str(number))
    cases = [lambda wds, folder: build(wds, data_set(folder))] * 2
    assert outcome(cases[0], OURS, tmp_path) == outcome(cases[1], published, tmp_path)


def test_there_are_hundreds_of_cases():
    modules = (broken, decoding, grouping, others, shards, stages, tenbin, writing)
    assert {case.func.__module__ if hasattr(case, "func") else case.__module__ for case in CASES.values()} == {
        module.__name__ for module in modules
    }
    assert len(CASES) >= 300
