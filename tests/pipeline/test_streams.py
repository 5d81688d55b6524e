"""The stream of a stage: nothing of the users' runs before the first item, and ending one ends what it reads from."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import asyncwds as wds
from asyncwds.errors import BridgeError
from asyncwds.pipeline import Description, Run, RunContext, adapt_all, stream_over
from asyncwds.runtime import Counters
from asyncwds.storage import MemoryFetcher
from asyncwds.testing import leaks

EVERY_STAGE = [
    wds.map(str),
    wds.select(bool),
    wds.slice(1, 5),
    wds.shuffle(3),
    wds.detshuffle(3),
    wds.rsample(1.0),
    wds.listed(2),
    wds.batched(2, collation_fn=sum),
    wds.info(n=0),
    wds.log_keys(),
    wds.Cached(),
    wds.resampled(5),
    wds.filters.compose(wds.map(str), wds.shuffle(3)),
    lambda items: (item for item in items),
]


@pytest.mark.parametrize("stage", EVERY_STAGE, ids=lambda stage: type(stage).__name__)
def test_it_begins_with_the_first_item_and_ends_its_source(stage: Any) -> None:
    seen: list[str] = []

    def items() -> Iterator[int]:
        seen.append("begun")
        try:
            yield from range(1, 10)
        finally:
            seen.append("ended")

    def source(numbers: Any) -> Iterator[int]:
        yield from items()

    context = RunContext(1)
    _, first, second = adapt_all([(), source, stage])
    stream = second.open(first.open(stream_over(()), context), context)
    assert seen == []
    next(stream)
    assert seen[0] == "begun"
    for _ in range(2):
        stream.close()
        assert seen == ["begun", "ended"]
    assert list(stream) == []


def test_one_that_is_closed_before_its_first_item_never_begins() -> None:
    [stage] = adapt_all([wds.map(str)])
    stream = stage.open(stream_over([1]), RunContext(1))
    stream.close()
    assert list(stream) == []


async def wait_for_ever(url: str, offset: int | None) -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("stages", [(), (wds.map(str), wds.shuffle(3), lambda items: (item for item in items))], ids=len)
def test_an_interrupt_from_another_thread_ends_a_next_that_waits(stages: Any) -> None:
    silent = wds.WebDataset("silent.tar", fetcher=lambda: MemoryFetcher({"silent.tar": bytes(1024)}, steer=wait_for_ever))
    with leaks():
        run = Run(Description((*silent.pipeline, *stages)), 0, wds.WorkerInfo(), Counters())
        timer = threading.Timer(0.05, run.interrupt)
        timer.start()
        with pytest.raises(BridgeError):
            list(run.items())
        timer.join()
        run.close()
