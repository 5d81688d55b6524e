from __future__ import annotations

import pickle
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest

import asyncwds as wds
from asyncwds import repeatedly
from asyncwds.errors import SpecError

BATCHES = [([1, 2],), ([3],), ([4, 5, 6],)]


class Source:
    """Counts the iterators over it and those that were closed."""

    def __init__(self, items: list[Any]) -> None:
        self.items = items
        self.opened = self.closed = 0

    def __iter__(self) -> Iterator[Any]:
        self.opened += 1
        try:
            yield from self.items
        finally:
            self.closed += 1


def test_limits() -> None:
    assert list(repeatedly(BATCHES, nepochs=2)) == BATCHES * 2
    assert list(repeatedly(BATCHES, nbatches=5)) == (BATCHES * 2)[:5]
    assert list(repeatedly(BATCHES, nsamples=3)) == BATCHES[:2]
    assert list(repeatedly(BATCHES, nsamples=7)) == [*BATCHES, BATCHES[0]]
    assert list(islice(repeatedly(BATCHES), 100)) == (BATCHES * 34)[:100]
    for options in ({"nepochs": 0}, {"nbatches": 0}, {"nsamples": 0}):
        assert list(repeatedly(BATCHES, **options)) == []
    assert list(wds.utils.repeatedly0(BATCHES, 2, 2)) == BATCHES[:2] * 2
    assert list(islice(wds.utils.repeatedly0(BATCHES), 7)) == (BATCHES * 3)[:7]


def test_the_size_of_a_batch_is_the_users_function() -> None:
    # WebDataset ignores it.
    assert list(repeatedly([10, 20, 30], nsamples=30, batchsize=lambda batch: batch)) == [10, 20]
    assert wds.utils.guess_batchsize({"a": [1, 2], "b": "xy"}) == 2
    assert list(repeatedly([{"a": [1, 2]}], nsamples=3)) == [{"a": [1, 2]}] * 2


@pytest.mark.parametrize("repeat", [repeatedly, wds.utils.repeatedly0])
def test_what_gives_nothing_is_not_repeated_without_end(repeat: Any) -> None:
    assert list(repeat([])) == []
    assert list(repeat(iter([1, 2]))) == [1, 2]


@pytest.mark.parametrize("repeat", [repeatedly, wds.utils.repeatedly0])
def test_what_is_opened_is_closed(repeat: Any) -> None:
    source = Source([1, 2, 3])
    stream = repeat(source)
    list(islice(stream, 4))
    assert (source.opened, source.closed) == (2, 1)
    stream.close()
    assert source.closed == 2
    given = iter(source)
    list(islice(repeat(given), 1))
    assert next(given) == 2


def test_mock_datasets() -> None:
    dataset = wds.MockDataset({"a": 1}, 3)
    assert list(dataset) == list(dataset) == [{"a": 1}] * 3
    assert (dataset.sample, dataset.length) == ({"a": 1}, 3)


def test_an_epoch_of_another_length() -> None:
    source = Source([1, 2, 3])
    dataset = wds.with_epoch(source, 5)
    assert list(dataset) == list(dataset) == [1, 2, 3, 1, 2]
    assert source.opened == source.closed == 4
    assert list(wds.with_epoch(source, 2)) == [1, 2]
    assert list(wds.with_epoch([], 2)) == []


def test_a_dataset_with_a_length() -> None:
    dataset = wds.with_length([1, 2, 3], 7)
    assert (len(dataset), list(dataset)) == (7, [1, 2, 3])


@pytest.mark.parametrize("make", [wds.MockDataset, wds.with_epoch, wds.with_length])
def test_they_are_data_of_a_length(make: Any) -> None:
    dataset = pickle.loads(pickle.dumps(make([1], 3)))
    assert (type(dataset), list(dataset)[:1], dataset.length) == (make, list(make([1], 3))[:1], 3)
    assert repr(dataset).startswith(make.__name__ + "(")
    for length in (-1, 1.5, None):
        with pytest.raises(SpecError, match=make.__name__):
            make([1], length)
