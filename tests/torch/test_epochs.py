"""Epochs where a DataLoader iterates over a dataset in its workers, and lengths."""

from __future__ import annotations

import multiprocessing
import pickle
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch.utils.data import ChainDataset, DataLoader, IterableDataset

import asyncwds as wds
from asyncwds.testing import leaks, make_shard

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")

SHARDS, SAMPLES = 12, 2
ALL = [f"{shard:02}{n}" for shard in range(SHARDS) for n in range(SAMPLES)]


@pytest.fixture
def shards(tmp_path):
    for shard in range(SHARDS):
        (tmp_path / f"s{shard:02}.tar").write_bytes(
            make_shard([{"__key__": f"{shard:02}{n}", "cls": str(n)} for n in range(SAMPLES)])
        )
    return f"{tmp_path}/s{{00..{SHARDS - 1}}}.tar"


def key_of(sample):
    return sample["__key__"]


def dataset(shards: str) -> wds.WebDataset:
    return wds.WebDataset(shards, shardshuffle=100, seed=1).shuffle(10).map(key_of)


def loader(data, **options) -> DataLoader:
    return DataLoader(data, batch_size=None, **options)


# A spawned worker imports torch, which takes seconds.
@pytest.mark.parametrize(
    ("context", "workers", "persistent"),
    [
        ("fork", 2, False),
        ("fork", 2, True),
        ("forkserver", 1, False),
        ("forkserver", 2, True),
        pytest.param("spawn", 1, True, marks=pytest.mark.slow),
    ],
)
def test_workers_follow_the_epochs_of_a_plain_dataloader(shards, context, workers, persistent):
    data = dataset(shards)
    loaded = loader(data, num_workers=workers, persistent_workers=persistent, multiprocessing_context=context)
    # Where processes are spawned the dataset has a descriptor from then on, and multiprocessing a process that tracks.
    with leaks() if context == "fork" else nullcontext():
        epochs = [list(loaded) for _ in range(2)]
        assert all(sorted(epoch) == ALL for epoch in epochs)
        assert epochs[0] != epochs[1]
        data.set_epoch(0)
        assert list(loaded) == epochs[0]
        del loaded


def test_loaders_of_other_sizes_count_for_themselves(shards):
    data = dataset(shards)
    two, three = loader(data, num_workers=2), loader(data, num_workers=3)
    first = list(two), list(three)
    assert list(two) != first[0]
    data.set_epoch(0)
    assert (list(two), list(three)) == first


def test_iterating_in_the_main_process_is_an_epoch_of_its_own(shards):
    data = dataset(shards)
    epochs = [list(data) for _ in range(3)]
    data.set_epoch(0)
    single = loader(data)
    assert [list(single) for _ in range(3)] == epochs


def test_a_worker_may_set_its_own_epoch(shards):
    data = dataset(shards)
    data.set_epoch(5)
    expected = list(loader(data, num_workers=2))
    data.set_epoch(0)
    assert list(loader(data, num_workers=2, worker_init_fn=set_epoch_5)) == expected
    assert data.state_dict()["epoch"] == 0


def set_epoch_5(_worker: int) -> None:
    torch.utils.data.get_worker_info().dataset.set_epoch(5)


def rank(data: Any, number: int, results: Any) -> None:
    """As a launcher starts it: the dataset was made before, and each rank counts for itself."""
    workers = loader(data, num_workers=1, multiprocessing_context="fork")
    results.put((number, [list(data), list(workers), list(workers)]))


def test_ranks_that_were_given_one_dataset_count_for_themselves(shards):
    ways = multiprocessing.get_context("forkserver")
    results = ways.SimpleQueue()
    data = dataset(shards)
    ranks = [ways.Process(target=rank, args=(data, number, results)) for number in range(2)]
    for process in ranks:
        process.start()
    seen = dict(results.get() for _ in ranks)
    for process in ranks:
        process.join()
    results.close()
    assert seen[0] == seen[1]
    assert seen[0][1] != seen[0][2]


def test_a_pickle_keeps_the_epoch(shards):
    data = dataset(shards)
    epochs = [list(data) for _ in range(3)]
    data.set_epoch(1)
    assert list(pickle.loads(pickle.dumps(data))) == epochs[1]
    assert list(data.map(str)) == epochs[1]
    assert list(data) == epochs[1]


def grouped(shards: str, rank: int, store: str, results: Any) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    data = wds.WebDataset(shards, nodesplitter=wds.split_by_node).map(key_of)
    workers = loader(data, num_workers=1, multiprocessing_context="spawn")
    results.put(list(workers))
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_spawned_workers_know_the_rank_of_their_parent(shards, tmp_path):
    """They are in no process group, and `init_process_group` sets no variables."""
    ways = multiprocessing.get_context("forkserver")
    results = ways.SimpleQueue()
    ranks = [ways.Process(target=grouped, args=(shards, rank, f"{tmp_path}/store", results)) for rank in range(2)]
    for process in ranks:
        process.start()
    seen = [results.get() for _ in ranks]
    for process in ranks:
        process.join()
    results.close()
    assert sorted(seen[0] + seen[1]) == ALL


def test_mixes_follow_too(shards):
    mix = wds.RandomMix([dataset(shards), dataset(shards)], longest=True, seed=3)
    workers = loader(mix, num_workers=2)
    epochs = [list(workers) for _ in range(2)]
    assert epochs[0] != epochs[1]
    mix.set_epoch(0)
    assert list(workers) == epochs[0]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_web_loader_passes_its_epoch_on(shards, workers):
    loaded = wds.WebLoader(dataset(shards), batch_size=None, num_workers=workers).shuffle(5)
    epochs = [list(loaded) for _ in range(3)]
    assert len(set(map(tuple, epochs))) == 3
    loaded.set_epoch(1)
    assert [list(loaded), list(loaded)] == epochs[1:]


def test_resampled_streams_differ_from_worker_to_worker_and_are_reproducible(shards):
    def epochs() -> list[list[str]]:
        data = wds.WebDataset(shards, resampled=True, seed=3).map(key_of).with_epoch(20)
        workers = loader(data, num_workers=2)
        return [list(workers) for _ in range(2)]

    first, second = epochs()
    assert [first, second] == epochs()
    assert first != second
    assert first[::2] != first[1::2]  # the two workers, in turn
    assert len(first) == 40


def test_more_workers_than_there_are_counts_for(shards, monkeypatch):
    monkeypatch.setattr("asyncwds.pipeline.epoch_counter.WORKERS", 1)
    workers = loader(dataset(shards), num_workers=2, persistent_workers=True)
    epochs = [list(workers) for _ in range(2)]
    assert all(sorted(epoch) == ALL for epoch in epochs)
    assert epochs[0] != epochs[1]
    del workers


# -- lengths, and what torch asks of a dataset


def test_a_length_where_it_was_given_and_no_other(shards):
    data = dataset(shards)
    sized = dataset(shards).with_length(7)
    assert len(sized) == 7
    assert len(loader(sized)) == 7
    assert len(sized.slice(3)) == 7  # it only sets the value
    for without in (data, loader(data), wds.WebLoader(data, batch_size=None)):
        with pytest.raises(TypeError):
            len(without)
    assert len(wds.WebLoader(sized, batch_size=None).with_length(3)) == 3
    with pytest.raises(ValueError, match="with_length"):
        data.with_length(-1)


@pytest.mark.parametrize("context", ["fork", "forkserver"])
@pytest.mark.filterwarnings("ignore:Length of IterableDataset")
def test_a_dataset_with_a_length_goes_to_workers(shards, context):
    sized = dataset(shards).with_length(len(ALL))
    assert len(pickle.loads(pickle.dumps(sized))) == len(ALL)
    assert type(pickle.loads(pickle.dumps(sized))) is type(sized)
    assert sorted(loader(sized, num_workers=1, multiprocessing_context=context)) == ALL


def test_the_length_of_ones_own_class():
    class Mine(IterableDataset):
        size = 4

        def __iter__(self):
            return iter(range(self.size))

    mine = wds.add_length_method(Mine())
    assert len(mine) == 4
    assert isinstance(mine, Mine)
    mine.size = 5
    assert len(wds.add_length_method(mine)) == 5


def test_what_torch_takes_for_a_dataset(shards):
    pipeline = wds.DataPipeline(wds.SimpleShardList(shards), wds.tarfile_to_samples())
    wrapped = wds.FluidWrapper(pipeline)
    for data in (wds.WebDataset(shards), pipeline, wrapped, wds.WebLoader(wrapped, batch_size=None)):
        assert isinstance(data, IterableDataset)
    for shard_list in (wds.SimpleShardList(shards), wds.ResampledShards(shards)):
        assert isinstance(shard_list, IterableDataset)
    assert isinstance(wds.WebDataset(shards), wds.DataPipeline)
    both = wds.WebDataset(shards).map(key_of) + wds.WebDataset(shards).map(key_of)
    assert isinstance(both, ChainDataset)
    assert sorted(both) == sorted(ALL * 2)


def test_a_pipeline_in_workers_is_split(shards):
    pipeline = wds.DataPipeline(
        wds.SimpleShardList(shards), wds.shuffle(100), wds.split_by_node, wds.split_by_worker, wds.tarfile_to_samples(), seed=1
    )
    workers = loader(wds.FluidWrapper(pipeline).map(key_of), num_workers=3)
    epochs = [list(workers) for _ in range(2)]
    assert [sorted(epoch) for epoch in epochs] == [ALL, ALL]


def test_with_epoch_counts_items_of_each_worker_and_batches_of_a_loader(shards):
    data = dataset(shards).batched(2, collation_fn=None)
    assert len(list(loader(data.with_epoch(4), num_workers=2))) == 8
    loaded = wds.WebLoader(data, batch_size=None, num_workers=2)
    assert len(list(loaded.with_epoch(5))) == 5
    assert len(list(loaded.with_epoch(100))) == 100
