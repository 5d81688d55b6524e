"""Batches that are made where they are handed over: in slots lent to the pipeline."""

from __future__ import annotations

import os
import threading
from contextvars import copy_context

import numpy as np
import pytest

import asyncwds as wds
from asyncwds.parallel import LendingSlots, Packed, Ring
from asyncwds.runtime import LENDER

pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # 3.12+ warns of forking with threads

SHAPE = (4, 100, 200)
NBYTES = 80_000  # arrays below 64 KiB are copied


class Consumer:
    """Slots and a consumer who gives them back one at a time, the oldest first, whenever it is waited for."""

    def __init__(self, slots=4):
        self.slots = LendingSlots(Ring(None, slots), lambda: False)
        self.has = []

    def deliver(self, batch):
        segment, places = self.slots.fill(Packed(batch), self.give_back)
        self.has.append(segment)
        return segment, places

    def give_back(self):
        self.slots.give_back(self.has.pop(0).number)

    def lent(self, value):
        array = self.slots.lend(NBYTES)
        assert array is not None
        array[:] = value
        return array


@pytest.fixture
def consumer():
    consumer = Consumer()
    consumer.deliver(np.zeros(SHAPE, np.uint8))
    yield consumer
    for segment in consumer.slots.segments.values():
        segment.close_unsent()


def bytes_at(segment, place):
    offset, length = place
    return segment.block()[offset : offset + length]


def test_before_the_first_batch_is_there_its_size_is_not_known():
    assert Consumer().slots.lend(100_000) is None


def test_a_batch_stands_where_it_was_made_and_the_rest_behind_it(consumer):
    images = consumer.lent(7)
    labels = np.arange(4)
    segment, places = consumer.deliver({"jpg": images, "cls": labels, "key": ["a"]})
    assert set(bytes_at(segment, places[0])) == {7}
    images[5] = 8
    assert bytes_at(segment, places[0])[5] == 8
    assert bytes_at(segment, places[1]).view(labels.dtype).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "rest", [{"more": np.zeros(1 << 20)}, {"text": "a" * 200_000}, {"other": np.ones(SHAPE, np.uint8), "text": "a" * 5000}]
)
def test_where_the_rest_needs_more_room_all_is_copied(consumer, rest):
    images = consumer.lent(7)
    segment, places = consumer.deliver({"jpg": images, **rest})
    assert bytes_at(segment, places[0]).tolist() == images.tolist()
    images[5] = 8
    assert bytes_at(segment, places[0])[5] == 7
    assert consumer.lent(1) is not None  # and the next slot is large enough


def test_a_slot_that_was_given_back_is_not_used_while_the_pipeline_refers_to_its_batch(consumer):
    kept = consumer.lent(1)[10:20]
    first, _ = consumer.deliver(kept.base)
    while consumer.has:
        consumer.give_back()
    others = set()
    for value in range(2, 6):
        segment, _ = consumer.deliver(consumer.lent(value))
        others.add(segment.number)
        consumer.give_back()
    assert first.number not in others
    assert set(kept) == {1}
    del kept
    assert consumer.deliver(consumer.lent(6))[0] is first


def test_a_pipeline_that_keeps_its_batches_is_lent_no_more_and_they_stay_as_they_are(consumer):
    kept = []
    for value in range(10):
        array = consumer.slots.lend(NBYTES)
        if array is None:
            array = np.empty(NBYTES, np.uint8)
        array[:] = value
        kept.append(array)
        segment, places = consumer.deliver(array)
        assert set(bytes_at(segment, places[0])) == {value}
    assert [set(array) for array in kept] == [{value} for value in range(10)]
    assert consumer.slots.lend(100_000) is None


def test_batches_that_a_stage_holds_are_not_overwritten(consumer):
    held = consumer.lent(1)
    assert consumer.slots.lend(NBYTES) is None  # one batch at a time
    for value in range(2, 9):
        segment, places = consumer.deliver(np.full(SHAPE, value, np.uint8))
        assert set(bytes_at(segment, places[0])) == {value}
    segment, places = consumer.deliver(held)
    assert set(bytes_at(segment, places[0])) == {1}
    consumer.give_back()
    assert consumer.lent(3) is not None


def test_what_was_lent_and_dropped_is_lent_again(consumer):
    for value in range(20):
        consumer.lent(value)
    assert len(consumer.slots.segments) == 2


def test_a_batch_that_comes_twice_is_copied_the_second_time(consumer):
    batch = consumer.lent(5)
    first, _ = consumer.deliver(batch)
    second, places = consumer.deliver(batch)
    assert first is not second
    assert set(bytes_at(second, places[0])) == {5}


def test_other_threads_and_forked_processes_are_lent_nothing(consumer):
    found = []
    thread = threading.Thread(target=lambda: found.append(consumer.slots.lend(100)))
    thread.start()
    thread.join()
    assert found == [None]
    child = os.fork()
    if not child:
        os._exit(0 if consumer.slots.lend(100) is None else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert consumer.slots.lend(100) is not None


def test_batch_array_is_of_numpy_where_nobody_lends_and_where_it_is_small(consumer):
    def made(*arguments):
        LENDER.set(consumer.slots)
        return wds.batch_array(*arguments)

    for shape, dtype, is_lent in [
        (SHAPE, "uint8", True),
        (20_000, np.float32, True),
        ((20_000, 0), "uint8", False),
        (100, "uint8", False),
        ((100, 1000), object, False),
    ]:
        array = copy_context().run(made, shape, dtype)
        assert array.shape == np.empty(shape).shape
        assert array.dtype == dtype
        assert (array.base is not None) is is_lent
        assert wds.batch_array(shape, dtype).base is None
        del array


# -- through a loader

images = [np.random.default_rng(number).integers(0, 255, (60, 80, 3), np.uint8) for number in range(40)]


def rows():
    for number, image in enumerate(images):
        yield {"image": image, "number": number, "key": str(number)}


def with_tall(samples):
    for number, sample in enumerate(samples):
        yield {**sample, "tall": np.repeat(sample["image"], number % 3 + 1, axis=0)}


class Pipeline:
    """Stages over `rows`."""

    def __init__(self, *stages):
        self.stages = stages

    def __iter__(self):
        items = rows()
        for stage in self.stages:
            items = stage(items)
        yield from items


def in_place(samples):
    made = wds.batch_array((len(samples), 60, 80, 3), "uint8")
    for place, sample in zip(made, samples, strict=True):
        place[:] = sample["image"]
    return made, [sample["key"] for sample in samples]


def keep_all(batches):
    kept = []
    for batch in batches:
        kept.append(batch)
        yield batch
    yield from kept


def half(batches):
    for batch in batches:
        yield {**batch, "image": batch["image"][:, ::2]}
        yield batch["image"][1:3]


@pytest.mark.parametrize(
    "stages",
    [
        [wds.batched(7)],
        [with_tall, wds.batched(7, collation_fn=wds.collate(ragged={"tall": "pad"}))],
        [with_tall, wds.batched(7, collation_fn=wds.collate(ragged={"tall": "values"}))],
        [wds.batched(7, collation_fn=in_place)],
        [wds.batched(6), wds.shuffle(4, seed=1)],
        [wds.batched(7), keep_all],
        [wds.batched(7), half],
        [wds.batched(7), wds.unbatched(), wds.batched(5)],
        [wds.batched(4), wds.Cached()],
    ],
    ids=["default", "pad", "values", "own", "shuffled", "kept", "views", "twice", "cached"],
)
def test_batches_are_the_same_as_here(stages):
    expected = [flat(batch) for batch in Pipeline(*stages)]
    with wds.loader(Pipeline(*stages), start_method="fork") as loader:
        epochs = [[[np.array(leaf) for leaf in flat(batch)] for batch in loader] for _ in range(2)]
    assert [len(epoch) for epoch in epochs] == [len(expected)] * 2
    for ours, theirs in zip(epochs[0] + epochs[1], expected * 2, strict=True):
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(one, other)


def flat(value):
    if isinstance(value, wds.Ragged):
        return [value.values, value.offsets]
    if isinstance(value, dict):
        value = list(value.values())
    return [leaf for item in value for leaf in flat(item)] if isinstance(value, list | tuple) else [value]
