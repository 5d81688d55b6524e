"""What the stages of a pipeline take, measured at some of the items."""

from __future__ import annotations

import gc
import time
import traceback
from functools import partial

import pytest

import asyncwds as wds
from asyncwds import pipelinefilter
from asyncwds.pipeline.clock import StageClock, stage_name
from asyncwds.runtime import Counters


def double(value):
    return 2 * value


@pipelinefilter
def every(items, n):
    yield from list(items)[::n]


class Resize:
    def __call__(self, value):
        return value


@pytest.mark.parametrize(
    ("stage", "name"),
    [
        (wds.decode("rgb8"), "decode"),
        (wds.map(double), "map(double)"),
        (wds.map(partial(double)), "map(double)"),
        (wds.map(Resize()), "map(Resize)"),
        (wds.map(lambda value: value), "map(<lambda>)"),
        (wds.select(double), "select(double)"),
        (wds.map_tuple(double, None, Resize()), "map_tuple(double, Resize)"),
        (wds.to_tuple("txt"), "to_tuple"),
        (wds.shuffle(10), "shuffle"),
        (wds.batched(4), "batched"),
        (every(2), "compose(every)"),
        (double, "double"),
        (Resize(), "Resize"),
        ([1, 2], "list"),
    ],
)
def test_names_of_stages(stage, name):
    assert stage_name(stage) == name


@pytest.mark.parametrize("number", [0, 1, 2, 3, 1000, 5000])
def test_every_item_passes_once_and_in_order(number):
    assert list(StageClock(Counters()).measured(iter(range(number)), 0, double)) == list(range(number))


def test_no_more_is_asked_for_than_wanted():
    source = iter(range(10_000))
    items = StageClock(Counters()).measured(source, 0, double)
    taken = [next(items) for _ in range(777)]
    assert (taken[-1], next(source)) == (776, 777)


def test_what_is_slow_is_measured_at_every_item_and_what_is_fast_stands_for_others():
    def slow():
        for number in range(50):
            time.sleep(0.002)
            yield number

    counters = Counters()
    clock = StageClock(counters)
    for _ in clock.measured(clock.measured(slow(), 0, slow), 1, double):
        pass
    clock.stop()
    times = counters.snapshot().times
    assert times["slow"] >= 50 * 0.002
    assert sum(times.values()) == pytest.approx(counters.snapshot().seconds)


def test_no_frame_of_the_clock_stands_in_a_traceback():
    def failing():
        yield 1
        raise ValueError("mine")

    items = StageClock(Counters()).measured(failing(), 0, failing)
    assert next(items) == 1
    with pytest.raises(ValueError, match="mine") as raised:
        next(items)
    assert [frame.name for frame in traceback.extract_tb(raised.value.__traceback__)][1:] == ["failing"]
    assert list(items) == []


def test_dropping_the_items_closes_what_they_come_from_at_once():
    closed = []

    def source():
        try:
            yield from range(1000)
        finally:
            closed.append(True)

    items = StageClock(Counters()).measured(source(), 0, source)
    assert [next(items) for _ in range(300)] == list(range(300))
    gc.disable()
    try:
        del items
        assert closed == [True]
    finally:
        gc.enable()


def test_what_is_known_is_published_as_it_grows_and_once_at_the_end():
    published = []
    clock = StageClock(Counters(), lambda: published.append(len(published)))
    items = clock.watched(iter(range(10)))
    assert [next(items), next(items)] == [0, 1]
    assert published == [0]
    clock.stop()
    clock.stop()
    assert published == [0, 1]
