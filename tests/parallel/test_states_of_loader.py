"""The state of a loader between any two items, and another one that goes on from there."""

from __future__ import annotations

import json
from functools import partial
from itertools import chain, islice
from typing import Any

import pytest

import asyncwds as wds
from asyncwds.errors import ResumeWarning, SpecError
from asyncwds.testing import make_shard

pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # 3.12+ warns of forking with threads

SHARDS, SAMPLES = 5, 7


@pytest.fixture
def urls(tmp_path):
    for number in range(SHARDS):
        samples = [{"__key__": f"{number}{n}", "cls": str(n)} for n in range(SAMPLES + number)]
        (tmp_path / f"{number}.tar").write_bytes(make_shard(samples))
    return f"{tmp_path}/{{0..{SHARDS - 1}}}.tar"


def key_of(sample):
    return sample["__key__"]


def batches(urls, seed: int | None = 1, **options: Any):
    return wds.WebDataset(urls, shardshuffle=10, seed=seed, **options).shuffle(9).map(key_of).listed(3)


def every_second(samples):
    for number, sample in enumerate(samples):
        if number % 2:
            yield sample


PIPELINES = {
    "shuffled": batches,
    "passes": lambda urls: batches(urls).with_epoch(40),
    "read again": lambda urls: wds.WebDataset(urls, seed=1).compose(every_second).map(key_of).listed(3),
}


def forked(data, processes=1, **options):
    return wds.loader(data, processes, start_method="fork", **options)


def saved(loader: Any) -> Any:
    return json.loads(json.dumps(loader.state_dict()))


@pytest.mark.parametrize("name", PIPELINES)
@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_the_first_items_and_the_rest_are_the_whole_and_then_comes_the_next_epoch(urls, name, processes):
    make = partial(PIPELINES[name], urls)
    with forked(make(), processes) as loader:
        epochs = [list(loader) for _ in range(3)]
    assert epochs[0] != epochs[1] or name == "read again"
    for epoch, count in [(0, 1), (1, 4), (0, len(epochs[0]))]:
        with forked(make(), processes) as loader:
            loader.set_epoch(epoch)
            items = iter(loader)
            given = list(islice(items, count))
            if name == "read again" and count:
                with pytest.warns(ResumeWarning, match="every_second"):
                    state = saved(loader)
            else:
                state = saved(loader)
        assert state["items"] == count
        with forked(make(), processes) as loader:
            loader.load_state_dict(state)
            assert saved(loader) == state
            found = [given + list(loader), list(loader)]
            assert found == epochs[epoch : epoch + 2], count


def test_in_the_order_of_arrival_all_that_was_not_taken_comes(urls):
    def make():
        return batches(urls, prefetch=wds.Prefetch(order="arrival"))

    with forked(make()) as loader:
        given = list(islice(loader, 5))
        state = saved(loader)
    with forked(make()) as loader:
        loader.load_state_dict(state)
        assert sorted(chain.from_iterable(given + list(loader))) == sorted(chain.from_iterable(make()))


@pytest.mark.parametrize("persistent", [True, False])
def test_again_and_again_also_in_a_loader_that_runs(urls, persistent):
    with forked(batches(urls), 2, persistent_workers=persistent) as loader:
        epochs = [list(loader) for _ in range(2)]
        loader.set_epoch(0)
        items = iter(loader)
        given = list(islice(items, 5))
        state = saved(loader)
        list(islice(items, 3))
        loader.load_state_dict(state)  # while another iteration is in the middle
        given += islice(loader, 2)
        loader.load_state_dict(saved(loader))
        assert [given + list(loader), list(loader)] == epochs
        ended = saved(loader)
        assert ended["ended"]
        following = list(loader)
    with forked(batches(urls), 2) as loader:
        loader.load_state_dict(ended)
        assert list(loader) == []
        assert list(loader) == following


async def test_in_an_asynchronous_loop_it_is_that_of_the_item_that_was_taken(urls):
    with forked(batches(urls), 2) as loader:
        whole = list(loader)
        loader.set_epoch(0)
        items: Any = aiter(loader)
        given = [await anext(items) for _ in range(4)]
        state = saved(loader)
        await items.aclose()
        assert state["items"] == 4
        loader.load_state_dict(state)
        rest: Any = aiter(loader)
        given += [await anext(rest) for _ in range(3)]
        state = saved(loader)
        await rest.aclose()
        loader.load_state_dict(state)
        assert given + list(loader) == whole


def test_a_seed_that_was_drawn_is_that_of_the_state(urls):
    with forked(batches(urls, None), 2) as loader:
        items = iter(loader)
        given = list(islice(items, 3))
        state, rest = saved(loader), list(items)
        following = list(loader)
    with forked(batches(urls, None), 2) as loader:
        loader.load_state_dict(state)
        assert [list(loader), list(loader)] == [rest, following]
    assert given


def fail_once(path, sample):
    if key_of(sample) == "24" and not path.exists():
        path.write_text("failed")
        raise OSError("for now")
    return key_of(sample)


def test_after_an_error_the_item_that_failed_comes_again(urls, tmp_path):
    def make(marker):
        return wds.WebDataset(urls, shardshuffle=False, seed=1).map(partial(fail_once, marker)).listed(3)

    (tmp_path / "done").write_text("failed")
    with forked(make(tmp_path / "done"), 2) as loader:
        whole = list(loader)
    given = []
    with forked(make(tmp_path / "first"), 2) as loader:
        with pytest.raises(OSError, match="for now"):
            given.extend(loader)
        loader.load_state_dict(saved(loader))
        assert given + list(loader) == whole


class Counting:
    """A dataset of a user's that has a state."""

    def __init__(self):
        self.next = 0

    def __iter__(self):
        while self.next < 20:
            self.next += 1
            yield self.next
        self.next = 0

    def state_dict(self):
        return {"next": self.next}

    def load_state_dict(self, state):
        self.next = state["next"]


def test_a_dataset_of_ones_own():
    with forked(Counting()) as loader:
        assert list(islice(loader, 7)) == [1, 2, 3, 4, 5, 6, 7]
        state = saved(loader)
    with forked(Counting()) as loader:
        loader.load_state_dict(state)
        assert list(loader) == list(range(8, 21))


def test_what_is_no_such_state(urls):
    with forked(batches(urls), 2) as loader:
        state = saved(loader)
        other: Any
        for other in ({}, None, {**state, "workers": 3}):
            with pytest.raises(SpecError, match="not the state of a loader"):
                loader.load_state_dict(other)
        with pytest.raises(SpecError, match="format 9"):
            loader.load_state_dict({**state, "format": 9})
    with pytest.raises(SpecError, match="of 2 processes, and this loader has 3"):
        forked(batches(urls), 3).load_state_dict(state)
    with pytest.raises(SpecError, match=r"stage 1: shuffle\(9, initial=9\)|the number of urls: 5 in the state, 1 here"):
        forked(batches(urls.replace("{0..4}", "0")), 2).load_state_dict(state)
    with pytest.raises(SpecError, match="has no state_dict"):
        forked([1, 2]).state_dict()
