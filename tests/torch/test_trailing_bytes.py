"""Shards with something behind their ends, in workers of torch's DataLoader."""

from __future__ import annotations

import pytest
from torch.utils.data import DataLoader

import asyncwds as wds
from asyncwds.errors import TrailingBytesError
from asyncwds.testing import make_samples, make_shard


def key_of(sample):
    return sample["__key__"]


@pytest.fixture
def shard(tmp_path):
    (tmp_path / "a.tar").write_bytes(make_shard(make_samples(5)) + b"\n")
    return str(tmp_path / "a.tar")


@pytest.mark.filterwarnings("ignore::asyncwds.errors.ShardWarning")
@pytest.mark.parametrize("num_workers", [0, 1])
def test_all_samples_come(shard, num_workers):
    dataset = wds.WebDataset(shard).map(key_of)
    assert list(DataLoader(dataset, batch_size=None, num_workers=num_workers)) == [f"{n:06d}" for n in range(5)]


def test_strict_in_a_worker(shard):
    with pytest.raises(TrailingBytesError, match=r"a\.tar"):
        list(DataLoader(wds.WebDataset(shard, strict=True).map(key_of), batch_size=None, num_workers=1))
