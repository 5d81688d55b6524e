"""Runs a description: passes over the source, each through its stages, for `for` and for `async for`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import count, islice
from typing import Any, Protocol, runtime_checkable

from asyncwds.engine.bridge import OTHER_PROCESS, Bridge
from asyncwds.engine.source import Source, loop_factory
from asyncwds.engine.stream import window_bytes
from asyncwds.errors import BridgeError
from asyncwds.model import Place, Sample
from asyncwds.pipeline.handlers import counted
from asyncwds.stats import Counters

Stage = Callable[[Iterator[Any]], Iterator[Any]]


@runtime_checkable
class Bindable(Protocol):
    """A stage whose random order depends on where and when it runs."""

    def bound(self, seed: int, epoch: int, place: Place) -> Stage: ...


@dataclass(frozen=True)
class Description:
    """A dataset as data: the source, the stages, and how often it is passed over.

    `passes` and `items` (after the stages) bound one iteration; None is without end.
    """

    source: Source
    stages: tuple[Stage, ...] = ()
    passes: int | None = 1
    items: int | None = None


class Run:
    """One iteration in progress. Owns at most one bridge at a time; the first exists as soon as the run does."""

    def __init__(self, description: Description, epoch: int, place: Place, counters: Counters) -> None:
        self._description = description
        self._epoch = epoch
        self._place = place
        self._counters = counters
        self._loop_factory = loop_factory(description.source.prefetch)
        self._closed = False
        self._bridge = self._open(epoch)

    def items(self) -> Iterator[Any]:
        """All passes. A pass that gives nothing ends them, so that repeating an empty dataset does not spin."""
        passes = self._description.passes
        items = self._passes(passes)
        return items if self._description.items is None else islice(items, self._description.items)

    def interrupt(self) -> None:
        """Makes whatever waits in another thread for the source raise BridgeError."""
        self._closed = True
        self._bridge.interrupt()

    def close(self) -> None:
        self._closed = True
        self._bridge.close()

    def _passes(self, passes: int | None) -> Iterator[Any]:
        for number in count() if passes is None else range(passes):
            if number:
                self._bridge = self._open(self._epoch + number)
                self._interrupt_if_closed()
            empty = True
            for item in self._pass(self._epoch + number):
                empty = False
                yield item
            if empty:
                return

    def _interrupt_if_closed(self) -> None:
        """Another thread may have closed the run while a bridge was being made."""
        if self._closed:
            self._bridge.interrupt()

    def _pass(self, epoch: int) -> Iterator[Any]:
        with closing(self._bridge) as bridge:
            items: Iterator[Any] = samples_of(bridge, self._description.source, self._counters)
            for position, stage in enumerate(self._description.stages):
                items = iter(self._bind(stage, position, epoch)(items))
            yield from items

    def _bind(self, stage: Stage | Bindable, position: int, epoch: int) -> Stage:
        stage = counted(stage, self._counters)
        if not isinstance(stage, Bindable):
            return stage
        # Two unseeded shuffles in one pipeline must not pick alike.
        return stage.bound(self._description.source.seed + position, epoch, self._place)

    def _open(self, epoch: int) -> Bridge:
        if self._closed:
            raise BridgeError("the iterator is closed")
        source = self._description.source
        return Bridge(
            partial(source.open, epoch, self._place, self._counters),
            window=window_bytes(source.prefetch),
            counters=self._counters,
            loop_factory=self._loop_factory,
        )


def samples_of(bridge: Bridge, source: Source, counters: Counters) -> Iterator[Sample]:
    for block in bridge:
        yield from block.samples
        if block.error is not None and not source.goes_on_after(block, counters):
            return
    source.check_not_empty(counters)


class Iteration(Iterator[Any]):
    """What `iter(dataset)` returns. Closes itself at the end, on any error, and when dropped; `close` does so at once."""

    def __init__(self, run: Run) -> None:
        # The run must not refer to this object: without a cycle, dropping the iterator after `break` closes at once.
        self._run = run
        self._items = run.items()
        self._pid = os.getpid()

    def __next__(self) -> Any:
        # Checked for each item (40 ns), not only for each block: a child would give out the rest of the parent's block.
        if self._pid != os.getpid():
            raise BridgeError(OTHER_PROCESS)
        try:
            return next(self._items)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stops the engine and waits for its end. Idempotent; afterwards the iterator is exhausted."""
        self._items = iter(())
        self._run.close()
