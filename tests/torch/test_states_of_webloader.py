"""The state of a `WebLoader` between any two items, and another one that goes on from there."""

from __future__ import annotations

import json
from functools import partial
from itertools import islice
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

import asyncwds as wds
from asyncwds.errors import ResumeWarning, SpecError
from asyncwds.testing import make_shard

pytestmark = [
    pytest.mark.filterwarnings("ignore:This DataLoader will create"),
    pytest.mark.filterwarnings("ignore:This process:DeprecationWarning"),
]

SHARDS, SAMPLES = 5, 7


@pytest.fixture(autouse=True)
def _seeded(monkeypatch):
    monkeypatch.setenv("WDS_SEED", "5")  # of the stages behind a loader


@pytest.fixture
def urls(tmp_path):
    for number in range(SHARDS):
        samples = [{"__key__": f"{number}{n}", "cls": str(n)} for n in range(SAMPLES + number)]
        (tmp_path / f"{number}.tar").write_bytes(make_shard(samples))
    return f"{tmp_path}/{{0..{SHARDS - 1}}}.tar"


def number_of(sample):
    return int(sample["__key__"])


def numbers(urls):
    return wds.WebDataset(urls, shardshuffle=10, seed=1).shuffle(9).map(number_of)


def load(dataset, workers, **options):
    return wds.WebLoader(
        dataset,
        num_workers=workers,
        multiprocessing_context="fork" if workers else None,
        **{"batch_size": None, **options},
    )


KINDS = {
    "batches of the dataset": lambda urls, workers: load(numbers(urls).listed(3), workers),
    "batches of torch": lambda urls, workers: load(numbers(urls), workers, batch_size=4, drop_last=True),
    "workers that stay": lambda urls, workers: load(numbers(urls).listed(3), workers, persistent_workers=workers > 0),
    "taken apart and batched": lambda urls, workers: load(numbers(urls).listed(5), workers).unlisted().listed(3),
    "an epoch of a length": lambda urls, workers: load(numbers(urls).listed(5), workers).with_epoch(11),
    "shuffled behind it": lambda urls, workers: load(numbers(urls).listed(5), workers).unlisted().shuffle(6),
}


def plain(items):
    return [item.tolist() if isinstance(item, torch.Tensor) else item for item in items]


def saved(loader: Any) -> Any:
    return json.loads(json.dumps(loader.state_dict()))


@pytest.mark.filterwarnings("ignore:.* holds items of DataLoader:asyncwds.errors.ResumeWarning")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("workers", [0, 2])
def test_the_first_items_and_the_rest_are_the_whole_and_then_comes_the_next_epoch(urls, kind, workers):
    make = partial(KINDS[kind], urls, workers)
    loader = make()
    epochs = [plain(loader) for _ in range(3)]
    assert epochs[0] != epochs[1]
    cuts = [(1, 4), (0, len(epochs[0]))] if workers else [(0, 0), (0, 3), (1, 4), (0, len(epochs[0])), (1, len(epochs[1]) - 1)]
    for before, count in cuts:
        loader = make()
        for _ in range(before):
            list(loader)
        items = iter(loader)
        given = plain(islice(items, count))
        state = saved(loader)
        items.close()
        del items, loader
        resumed = make()
        resumed.load_state_dict(state)
        assert [given + plain(resumed), plain(resumed)] == epochs[before : before + 2], (before, count)


@pytest.mark.parametrize("workers", [0, 2])
def test_after_its_end_an_epoch_has_nothing_left_and_the_next_one_comes(urls, workers):
    make = partial(KINDS["workers that stay"], urls, workers)
    loader = make()
    list(loader)
    state, following = saved(loader), list(loader)
    resumed = make()
    resumed.load_state_dict(state)
    assert list(resumed) == []
    assert list(resumed) == following


def test_a_loader_that_runs_goes_back(urls):
    loader = KINDS["workers that stay"](urls, 2)
    items = iter(loader)
    given = list(islice(items, 4))
    state, rest = saved(loader), list(items)
    following = list(loader)
    loader.load_state_dict(state)
    assert [list(loader), list(loader)] == [rest, following]
    assert given


async def test_in_an_asynchronous_loop_it_is_that_of_the_item_that_was_taken(urls):
    make = partial(KINDS["batches of the dataset"], urls, 2)
    whole, loader = list(make()), make()
    items = aiter(loader)
    given = [await anext(items) for _ in range(4)]
    state = saved(loader)
    await items.aclose()
    resumed = make()
    resumed.load_state_dict(state)
    assert given + list(resumed) == whole


def started(worker):
    torch.set_num_threads(1)


def test_functions_of_the_user_are_called_as_before(urls):
    def make():
        return load(numbers(urls), 2, batch_size=4, collate_fn=tuple, worker_init_fn=started)

    loader = make()
    items = iter(loader)
    given = list(islice(items, 3))
    state, rest = saved(loader), list(items)
    assert {type(batch) for batch in given + rest} == {tuple}
    resumed = make()
    resumed.load_state_dict(state)
    assert list(resumed) == rest
    assert resumed.pipeline[0].worker_init_fn is started


def test_other_numbers_of_workers_and_other_datasets_are_refused(urls):
    loader = load(numbers(urls).listed(3), 2)
    items = iter(loader)
    next(items)
    state = saved(loader)
    items.close()
    other = load(numbers(urls).listed(3), 3)
    other.load_state_dict(state)
    with pytest.raises(SpecError, match="of 2 workers of a DataLoader, and this one has 3"):
        list(other)
    with pytest.raises(SpecError, match=r"in what it begins with, 0: stage 3: listed\(3\)? in the state|in what it begins with, 0"):
        load(numbers(urls).listed(4), 2).load_state_dict(state)


def test_a_dataloader_that_is_only_wrapped_is_gone_through_again_and_says_so(urls):
    def make():
        dataset: Any = numbers(urls)
        return wds.FluidWrapper(DataLoader(dataset, batch_size=4))

    whole = plain(make())
    loader = make()
    items = iter(loader)
    given = plain(islice(items, 4))
    with pytest.warns(ResumeWarning, match="DataLoader"):
        state = saved(loader)
    items.close()
    resumed = make()
    resumed.load_state_dict(state)
    assert given + plain(resumed) == whole
