"""Ranks of torch.distributed that must end together: with `split="samples"` they do, however many samples the shards have."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

import asyncwds as wds
from asyncwds.testing import make_shard

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")

WORLD, WORKERS, BATCH = 4, 2, 5
TRAINING, VALIDATION = [31, 4, 17, 0, 9, 26], [23, 8]  # fewer shards than places
EPOCHS = 2

Seen = list[list[tuple[list[str], list[bool]]]]
"""Of each epoch the batches: keys, and which of them are padding."""


def write(folder: Path, counts: list[int]) -> str:
    for number, count in enumerate(counts):
        samples = [{"__key__": f"{number}-{n}", "cls": str(n)} for n in range(count)]
        (folder / f"{len(counts)}-{number}.tar").write_bytes(make_shard(samples))
    urls = f"{folder}/{len(counts)}-{{0..{len(counts) - 1}}}.tar"
    wds.save_index(wds.make_index(urls))
    return urls


def keys_of(counts: list[int]) -> list[str]:
    return sorted(f"{number}-{n}" for number, count in enumerate(counts) for n in range(count))


def dataset(urls: str, **options: Any) -> Any:
    data = wds.WebDataset(urls, split="samples", uneven="pad", **options)
    return data.decode().to_tuple("__key__", "cls", "__padding__").batched(BATCH)


def work(rank: int, store: str, training: str, validation: str, results: Any) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=WORLD)
    results.put((rank, epochs_of(training, shardshuffle=True), epochs_of(validation)))
    torch.distributed.destroy_process_group()


def epochs_of(urls: str, **arguments: Any) -> Seen:
    """All ranks take part in each step: one that ended before the others would leave them waiting."""
    data = dataset(urls, **arguments)
    batches = data.items_per_rank(WORKERS)
    options: dict[str, Any] = {"num_workers": WORKERS, "multiprocessing_context": "fork", "persistent_workers": True}
    loader = DataLoader(data.with_length(batches), batch_size=None, **options)
    seen: Seen = []
    for _ in range(EPOCHS):
        seen.append([])
        for keys, classes, padding in loader:
            total = torch.tensor([len(keys)])
            torch.distributed.all_reduce(total)
            assert total == WORLD * len(keys) == WORLD * len(classes)
            seen[-1].append((list(keys), padding.tolist()))
        assert len(seen[-1]) == len(loader) == batches
    return seen


@pytest.mark.slow
def test_ranks_have_as_many_batches_and_every_sample_once(tmp_path):
    training, validation = write(tmp_path, TRAINING), write(tmp_path, VALIDATION)
    ways = multiprocessing.get_context("forkserver")
    results = ways.SimpleQueue()
    arguments = f"{tmp_path}/store", training, validation, results
    ranks = [ways.Process(target=work, args=(rank, *arguments)) for rank in range(WORLD)]
    for process in ranks:
        process.start()
    found = [results.get()[1:] for _ in ranks]
    for process in ranks:
        process.join()
    results.close()
    assert [process.exitcode for process in ranks] == [0] * WORLD
    for seen, counts in zip(zip(*found, strict=True), (TRAINING, VALIDATION), strict=True):
        for epoch in zip(*seen, strict=True):
            assert len({tuple(len(keys) for keys, _ in batches) for batches in epoch}) == 1
            samples = [sample for batches in epoch for batch in batches for sample in zip(*batch, strict=True)]
            assert sorted(key for key, padding in samples if not padding) == keys_of(counts)
            assert sum(padding for _, padding in samples) == -sum(counts) % (WORLD * WORKERS)
    assert found[0][0][0] != found[0][0][1]  # of training, each epoch has another order


@pytest.mark.parametrize("workers", [1, 3])
def test_a_loader_counts_its_batches(tmp_path, workers):
    data = dataset(write(tmp_path, TRAINING))
    data = data.with_length(data.items_per_rank(workers))
    loader = DataLoader(data, batch_size=None, num_workers=workers)
    assert len(loader) == sum(1 for _ in loader)
