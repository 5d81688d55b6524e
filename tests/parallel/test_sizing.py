"""Decisions about workers and tasks, as functions of what was measured."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from asyncwds.parallel import Seen, WorkerTuner, choose_workers, group_size, payload_bytes


@pytest.mark.parametrize(
    ("seconds", "items"), [(None, 1), (1.0, 1), (0.006, 1), (0.001, 6), (0.0002, 30), (0.000001, 64), (0.0, 64)]
)
def test_a_task_takes_about_six_milliseconds(seconds: float | None, items: int) -> None:
    assert group_size(seconds) == items


@pytest.mark.parametrize(
    ("seen", "before", "chosen"),
    [
        pytest.param(Seen(1, 1.0, 0.98, 1.0, 10), None, 2, id="a consumer that only waits: twice as many"),
        pytest.param(Seen(4, 1.0, 0.9, 4.0, 10), None, 8, id="and again"),
        pytest.param(Seen(8, 1.0, 0.9, 8.0, 10), None, 12, id="no more than there may be"),
        pytest.param(Seen(4, 1.0, 0.2, 4.0, 10), None, 5, id="one that waits a fifth of its time: as many as that takes"),
        pytest.param(Seen(4, 1.0, 0.03, 4.0, 10), None, 4, id="one that hardly waits, with busy workers: as it is"),
        pytest.param(Seen(8, 1.0, 0.0, 2.0, 10), None, 3, id="workers that are idle: fewer"),
        pytest.param(Seen(2, 1.0, 0.0, 0.01, 10), None, 1, id="one at least"),
        pytest.param(Seen(4, 1.0, 0.9, 4.0, 10.5), Seen(2, 1.0, 0.9, 2.0, 10), 2, id="more were of no use: back"),
        pytest.param(Seen(4, 1.0, 0.9, 4.0, 19), Seen(2, 1.0, 0.9, 2.0, 10), 8, id="more were of use: on"),
    ],
)
def test_the_number_of_workers_is_what_feeds_the_consumer(seen: Seen, before: Seen | None, chosen: int) -> None:
    assert choose_workers(seen, before, most=12).workers == chosen


def test_the_choice_is_explained() -> None:
    said = [choose_workers(seen, before, most=12).why for seen, before in EXPLAINED]
    assert said == list(EXPLAINED.values())


EXPLAINED = {
    (Seen(2, 1.0, 0.5, 2.0, 10), None): "the consumer waited for 50 % of its time with 2",
    (Seen(8, 1.0, 0.9, 8.0, 10), None): "the consumer waited for 90 % of its time with 8, and 12 are the most",
    (Seen(8, 1.0, 0.0, 2.0, 10), None): "the consumer waited for 0 % of its time, and 2.0 of 8 were busy",
    (Seen(4, 1.0, 0.9, 4.0, 10.5), Seen(2, 1.0, 0.9, 2.0, 10)): "4 did 10.5 items/s and these 10: more are of no use",
}


def simulate(tuner: WorkerTuner, now: list[float], consumer: float, item: float, scales: int, seconds: float) -> list[int]:
    """What it chooses while a consumer takes so long for an item, and so many workers run at once without slowing each other."""
    chosen = [tuner.number]
    until = now[0] + seconds
    while now[0] < until:
        rate = min(1 / consumer, min(tuner.number, scales) / item)
        took = item * max(1.0, tuner.number / scales)
        now[0] += 1 / rate
        tuner.wait(max(0.0, 1 / rate - consumer))
        tuner.finish(1, took)
        if tuner.look():
            chosen.append(tuner.number)
    return chosen


@pytest.mark.parametrize(
    ("consumer", "item", "scales", "last"),
    [
        pytest.param(0.00001, 0.001, 100, 8, id="a consumer that takes all there is"),
        pytest.param(0.001, 0.001, 100, 1, id="one that takes as long as an item"),
        pytest.param(0.0005, 0.0017, 100, 4, id="one that needs 3.4"),
        pytest.param(0.01, 0.001, 100, 1, id="a slow one"),
        pytest.param(0.00001, 0.001, 1, 1, id="a function that holds the interpreter"),
    ],
)
def test_it_is_found_in_half_a_second_and_stays(consumer: float, item: float, scales: int, last: int) -> None:
    now = [0.0]
    tuner = WorkerTuner(8, clock=lambda: now[0])
    assert simulate(tuner, now, consumer, item, scales, 0.5)[-1] == last
    assert simulate(tuner, now, consumer, item, scales, 5.0) == [last]


def test_payload_bytes_are_those_of_bytes_text_arrays_and_images_in_containers() -> None:
    image = Image.new("RGB", (10, 20))
    item = {"__key__": "ab", "jpg": image, "x": np.zeros((2, 3), np.float32), "raw": b"123", "y": [bytearray(4), (b"5", 6, None)]}
    assert payload_bytes(item) == 2 + 600 + 24 + 3 + 4 + 1
    assert payload_bytes(7) == 0
