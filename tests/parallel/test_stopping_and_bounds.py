"""Workers end with their iterator, however it ends, and run no further ahead than their bounds."""

from __future__ import annotations

import asyncio
import gc
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import count, islice
from typing import Any

import pytest

import asyncwds as wds
from asyncwds.errors import BridgeError, SpecError
from asyncwds.parallel import BYTES_AHEAD
from asyncwds.pipeline.item_functions import takes_rng
from asyncwds.testing import leaks


class Gate:
    """A function that lets nothing through until it is opened."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.entered = threading.Semaphore(0)
        self.calls = 0

    def __call__(self, item: Any) -> Any:
        self.calls += 1
        self.entered.release()
        assert self.opened.wait(30)
        return item


def forever() -> Iterator[int]:
    return count()


async def never(item: int) -> int:
    if item:
        await asyncio.get_running_loop().create_future()
    return item


@pytest.mark.parametrize("f", [abs, never], ids=["threads", "coroutines"])
@pytest.mark.parametrize("end", ["close", "drop", "break", "error"])
def test_an_iterator_that_stops_early_leaves_nothing(f: Callable[[int], Any], end: str) -> None:
    dataset = wds.DataPipeline(forever, wds.map(f, workers=3))
    with leaks():
        iterator: Any = iter(dataset)
        assert next(iterator) == 0
        if end == "close":
            iterator.close()
            assert list(iterator) == []
        elif end == "error":
            with pytest.raises(BridgeError):
                iterator.interrupt()
                next(iterator)
        elif end == "break":
            for _ in dataset:
                break
        del iterator


def test_one_that_is_collected_does_not_wait_for_a_call_under_way() -> None:
    """Which may need a lock that is held where the collector came by."""
    opened, late = threading.Event(), threading.Event()

    def call(item: int) -> int:
        if item and not opened.wait(10):
            late.set()
        return item

    with leaks():
        circle: list[Any] = [iter(wds.DataPipeline(forever, wds.map(call, workers=2)))]
        assert next(circle[0]) == 0
        circle.append(circle)
        del circle
        gc.collect()
        assert not late.is_set()
        opened.set()


def test_a_coroutine_that_is_cancelled_makes_way_for_none(caplog: pytest.LogCaptureFixture) -> None:
    """Else asyncio tells of tasks that were destroyed while they were pending."""
    for _ in range(5):
        iterator: Any = iter(wds.DataPipeline(forever, wds.map(never, workers=2)))
        next(iterator)
        time.sleep(0.02)  # others wait for their turn meanwhile
        iterator.close()
    gc.collect()
    assert caplog.messages == []


def test_what_has_not_begun_when_it_is_closed_never_does() -> None:
    gate = Gate()
    dataset = wds.DataPipeline(forever, wds.map(gate, workers=2))
    with leaks():
        iterator: Any = iter(dataset)
        caught: list[BaseException] = []
        consumer = threading.Thread(target=collect_error, args=(iterator, caught))
        consumer.start()
        assert all(gate.entered.acquire(timeout=20) for _ in range(2))
        iterator.interrupt()
        gate.opened.set()
        consumer.join(20)
        iterator.close()
    assert [type(error) for error in caught] == [BridgeError]
    assert gate.calls == 2


def collect_error(iterator: Iterator[Any], caught: list[BaseException]) -> None:
    try:
        next(iterator)
    except BaseException as error:
        caught.append(error)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_is_no_exception_is_not_swallowed_nor_shown_to_handlers(error: type[BaseException]) -> None:
    def f(item: int) -> int:
        if item == 3:
            raise error
        return item

    given = []
    with leaks(), pytest.raises(error):
        for item in wds.DataPipeline([range(9)], wds.map(f, wds.ignore_and_continue, workers=2)):
            given.append(item)
    assert given == [0, 1, 2]


EXITS = {
    "in the middle": "iterator = iter(dataset); next(iterator)",
    "by Ctrl-C": "iterator = iter(dataset); next(iterator); os.kill(os.getpid(), signal.SIGINT); time.sleep(30)",
}


@pytest.mark.parametrize("f", ["abs", "later"])
@pytest.mark.parametrize("how", EXITS)
def test_a_program_that_ends_ends(how: str, f: str) -> None:
    program = f"""
import os, signal, time, itertools
import asyncwds as wds
async def later(item): return item
dataset = wds.DataPipeline(lambda: itertools.count(), wds.map({f}, workers=2))
{EXITS[how]}
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == (-signal.SIGINT if how == "by Ctrl-C" else 0), done.stderr
    assert ("Exception ignored" in done.stderr, "Fatal" in done.stderr) == (False, False)


@pytest.mark.parametrize("megabytes", [10, 40])
def test_bytes_in_flight_are_bounded(megabytes: int) -> None:
    held: list[int] = []
    lock = threading.Lock()
    alive, peak = 0, 0

    class Payload:
        """As large as it says; it notes for how long it is kept."""

        nbytes = megabytes << 20

        def __init__(self) -> None:
            nonlocal alive, peak
            with lock:
                alive += 1
                peak = max(peak, alive)

        def __del__(self) -> None:
            nonlocal alive
            with lock:
                alive -= 1

    dataset = wds.DataPipeline([range(60)], wds.map(lambda _: Payload(), workers=8))
    for item in dataset:
        held.append(item.nbytes)
    assert len(held) == 60
    # Of those that begin together nobody knows yet how large they are.
    assert peak * (megabytes << 20) <= BYTES_AHEAD + 2 * 8 * (megabytes << 20)
    assert peak < 30


@pytest.mark.parametrize("workers", [1, 3])
def test_items_in_flight_are_bounded(workers: int) -> None:
    taken = [0]

    def source() -> Iterator[int]:
        for number in count():
            taken[0] += 1
            yield number

    iterator = iter(wds.DataPipeline(source, wds.map(abs, workers=workers)))
    most = 0
    for number in islice(iterator, 3000):
        most = max(most, taken[0] - number)
    iterator.close()
    assert most <= workers * 4 * 64 + 64


def test_a_slow_source_does_not_hold_back_what_is_done() -> None:
    taken = [0]

    def source() -> Iterator[int]:
        for number in range(40):
            time.sleep(0.01)
            taken[0] += 1
            yield number

    ahead = [taken[0] - number for number in wds.DataPipeline(source, wds.map(abs, workers=1))]
    assert max(ahead) <= 8  # a fast one is read 16 ahead


def test_so_many_coroutines_at_once() -> None:
    running, peak = 0, 0

    async def f(item: int) -> int:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        await asyncio.sleep(0.001)
        running -= 1
        return item

    assert list(wds.DataPipeline([range(60)], wds.map(f, workers=5))) == list(range(60))
    assert peak == 5


def test_the_number_that_was_found_stands_in_the_statistics() -> None:
    dataset = wds.DataPipeline([range(200)], wds.map(abs, workers="auto"), wds.map(float, workers=3))
    assert sum(dataset) == 19900
    parallel = dataset.stats().parallel
    assert parallel.keys() == {"map(abs)", "map(float)"}
    assert parallel["map(float)"] == 3
    assert parallel["map(abs)"] >= 1
    assert f"map(abs) x {parallel['map(abs)']}" in repr(dataset.stats())
    assert "map(abs, workers='auto')" in repr(dataset)


@pytest.mark.parametrize("workers", [0, -1, 1.5, True, "all", "2", [1]])
def test_a_number_that_makes_no_sense_is_an_error(workers: Any) -> None:
    makers: list[Callable[[], Any]] = [
        lambda: wds.map(abs, workers=workers),
        lambda: wds.decode(workers=workers),
        lambda: wds.map_dict(cls=int, workers=workers),
        lambda: wds.map_tuple(int, workers=workers),
        lambda: wds.FluidWrapper([1]).map(abs, workers=workers),
        lambda: wds.FluidWrapper([1]).decode("rgb8", workers=workers),
    ]
    for make in makers:
        with pytest.raises(SpecError, match="workers must be a whole number of at least 1"):
            make()


async def generator(item: Any) -> Any:
    yield item


def test_an_asynchronous_generator_gives_no_item_with_workers_either() -> None:
    with pytest.raises(SpecError, match="is asynchronous"):
        wds.map(generator, workers=2)
    with pytest.raises(SpecError, match="returned a coroutine.*`workers=n`"):
        list(wds.map(lambda item: never(item + 1), workers=2)([1]))


@pytest.mark.parametrize(
    ("f", "takes"),
    [
        (lambda x, rng: x, True),
        (lambda x, *, rng=None: x, True),
        (lambda rng: rng, False),
        (lambda x: x, False),
        (lambda x, **options: x, False),
        (abs, False),
        (dict, False),
    ],
)
def test_what_takes_an_rng(f: Any, takes: bool) -> None:
    assert takes_rng(f) == takes
