"""Random access in torch's DataLoader: batches at once, in forked and spawned workers."""

import pytest
from torch.utils.data import DataLoader, IterableDataset

import asyncwds as wds
from asyncwds.testing import FaultServer, make_samples, make_shard

# torch warns of more workers than cores.
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")

COUNT = 40


@pytest.fixture
def folder(tmp_path):
    for number in range(2):
        samples = make_samples(COUNT // 2, size=1500, fields=("bin", "cls"), prefix=f"n{number}/", seed=number)
        (tmp_path / f"s{number}.tar").write_bytes(make_shard(samples))
    return tmp_path


KEYS = [f"n{number}/{n:06}" for number in range(2) for n in range(COUNT // 2)]


def keys_of(loader):
    return [key for batch in loader for key in batch[0]]


@pytest.mark.parametrize(
    ("workers", "start"),
    [(0, None), (2, "fork"), pytest.param(1, "forkserver", marks=pytest.mark.slow)],
)
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_batches_in_workers(folder, workers, start):
    with FaultServer(folder) as server, wds.WebDataset(server.url() + "s{0..1}.tar") as dataset:
        access = dataset.decode().to_tuple("__key__", "cls").random_access()
        assert access[0][0] == KEYS[0]  # its loop is not that of the workers
        loader = DataLoader(access, batch_size=7, num_workers=workers, multiprocessing_context=start, shuffle=True)
        first, second = keys_of(loader), keys_of(loader)
    assert sorted(first) == sorted(second) == KEYS
    assert first != second


def test_a_batch_is_asked_for_at_once(folder):
    index = wds.make_index(str(folder / "s{0..1}.tar"))
    with FaultServer(folder) as server, wds.WebDataset(server.url() + "s{0..1}.tar", index=index) as dataset:
        access = dataset.to_tuple("__key__", "cls").random_access()
        assert keys_of(DataLoader(access, batch_size=COUNT // 2)) == KEYS
        assert server.counters.requests == 2


def test_local_files_in_forked_workers(folder):
    with wds.WebDataset(str(folder / "s{0..1}.tar")) as dataset:
        access = dataset.to_tuple("__key__", "cls").random_access()
        assert access[COUNT - 1][0] == KEYS[-1]
        loader = DataLoader(access, batch_size=3, num_workers=2, multiprocessing_context="fork")
        assert keys_of(loader) == KEYS


def test_the_shuffle_of_the_whole_data_set_is_an_iterable_dataset(folder):
    with wds.WebDataset(str(folder / "s{0..1}.tar")) as dataset:
        shuffled = dataset.to_tuple("__key__", "cls").random_access().shuffled(seed=2)
        assert isinstance(shuffled, IterableDataset)
        loader = DataLoader(shuffled, batch_size=3, num_workers=2, multiprocessing_context="fork")
        keys = keys_of(loader)
    assert sorted(keys) == KEYS
    assert keys != KEYS
