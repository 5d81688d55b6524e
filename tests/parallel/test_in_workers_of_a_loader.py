"""Stages with workers in the worker processes of a DataLoader, forked and started anew, and behind a WebLoader."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch  # noqa: F401 - what is tested needs it

import asyncwds as wds
from asyncwds.testing import make_shard


def augmented(sample: Any, rng: Random) -> tuple[int, float]:
    return int(sample["cls"]), rng.random()


def doubled(value: float) -> float:
    return 2 * value


@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_the_same_items_as_without(tmp_path: Path, method: str) -> None:
    for number in range(2):
        made = make_shard([{"__key__": f"{number}{n:02}", "cls": str(n)} for n in range(20)])
        (tmp_path / f"{number}.tar").write_bytes(made)
    dataset = wds.WebDataset(f"{tmp_path}/{{0..1}}.tar", seed=1)
    expected = sorted((cls, 2 * draw) for cls, draw in dataset.map(augmented))
    loader = wds.WebLoader(dataset.map(augmented, workers=2), batch_size=None, num_workers=2, multiprocessing_context=method)
    assert sorted((int(cls), float(draw)) for cls, draw in loader.map_tuple(None, doubled, workers=2)) == expected
