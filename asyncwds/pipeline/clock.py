"""Measures how long the stages of a pipeline take, so that `stats()` can say which one is the limit.

Timing each item costs 2 µs a stage, which a small sample can't afford. So only some are timed, and each stands for those that
pass untimed behind it: as many as come in half a millisecond, and 255 at most. Stages that take longer an item are measured
exactly, and small samples pay 0.03 µs a stage. Items pass through iterators of the interpreter's own, which are cheap and no
frames in the traceback of a user's error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import is_dataclass
from itertools import chain, cycle, islice
from math import inf
from time import perf_counter
from typing import Any

from asyncwds.codecs.decoders import Decoder
from asyncwds.formatting.texts import first_field, method_name
from asyncwds.pipeline.stage import FilterFunction
from asyncwds.pipeline.stages.map import Map
from asyncwds.runtime.counters import Counters, StageTime
from asyncwds.runtime.recorder import CONSUMER, Recorder

UNTIMED_SECONDS = 0.0005
# The most items between two that are timed. They vary, or a stage that is slow for every 64th would be taken for always slow.
STEPS = (255, 203, 227, 179, 219)
PUBLISH_SECONDS = 0.2
# [s] An event of a trace costs 8 us, as much as a small sample: of items that take less only one is recorded now and then.
SHORT_SPAN, SHORT_SPANS_EVERY = 50e-6, 0.005


class StageClock:
    """The clock of one iteration. `publish` tells others what it has measured so far, if there are any to be told."""

    def __init__(self, counters: Counters, publish: Callable[[], None] | None = None) -> None:
        self._counters = counters
        self._publish = publish
        self._published = -inf

    def measured(self, items: Iterator[Any], number: int, stage: Any) -> Iterator[Any]:
        """The items of a stage, the `number`th of its pipeline. Those of another pass are added to the same time."""
        return self._timed(items, self._counters.stages.setdefault(number, StageTime(stage_name(stage))))

    def watched(self, items: Iterator[Any]) -> Iterator[Any]:
        """What the pipeline gives: nothing is measured here, but pipelines without stages publish too, and are traced."""
        asked = self._publish is not None or self._counters.trace is not None
        return self._timed(items, StageTime("")) if asked else items

    def _timed(self, items: Iterator[Any], time: StageTime) -> Iterator[Any]:
        return chain.from_iterable(_Timed(items, time, self._counters, self._tick).runs())

    def _tick(self, now: float) -> None:
        if self._publish is not None and now - self._published > PUBLISH_SECONDS:
            self._published = now
            self._publish()

    def stop(self) -> None:
        """Idempotent."""
        if self._counters.ended is None:
            self._counters.end()
            if self._publish is not None:
                self._publish()


class _Timed:
    def __init__(self, items: Iterator[Any], time: StageTime, counters: Counters, tick: Callable[[float], None]) -> None:
        self._items = items
        self._time = time
        self._counters = counters
        self._tick = tick
        self._began = self._waited = self._ended = 0.0
        self._recorded, self._unrecorded = 0.0, 0  # in a trace: when the latest item was, and items since

    def runs(self) -> Iterator[Iterator[Any]]:
        """Iterators over what comes next, in turn: over one item, which is timed, and over those for which it stands."""
        opened, items, time, counters = perf_counter(), self._items, self._time, self._counters
        count = 1
        for step in cycle(STEPS):
            before, self._ended = time.inclusive, 0.0
            self._waited, self._began = counters.waited, perf_counter()
            yield map(self._arrive, islice(items, 1))
            if not self._ended:
                return
            untimed = min(step, int(step / STEPS[0] * UNTIMED_SECONDS * count / (self._ended - opened)))
            self._tick(self._ended)
            if counters.trace is not None:
                self._record(counters.trace, 1 + untimed)
            if untimed:
                time.inclusive += untimed * (time.inclusive - before)
                yield islice(items, untimed)
            count += 1 + untimed

    def _record(self, trace: Recorder, items: int) -> None:
        """The item that was timed, for so many; or how long the consumer had it, who asks for the next now."""
        self._unrecorded += items
        began, ended = (self._began, self._ended) if self._time.name else (self._ended, perf_counter())
        if ended - began < SHORT_SPAN and ended - self._recorded < SHORT_SPANS_EVERY:
            return
        trace.span(CONSUMER, self._time.name or "your loop", began, ended, items=self._unrecorded)
        self._recorded, self._unrecorded = ended, 0

    def _arrive(self, item: Any) -> Any:
        self._ended = now = perf_counter()
        self._time.inclusive += now - self._began - (self._counters.waited - self._waited)
        return item


def stage_name(stage: Any) -> str:
    """`decode`, `map(resize)`, `compose(every)`: a stage, with the user's functions in it."""
    if isinstance(stage, Map) and isinstance(stage.f, Decoder):
        return "decode"
    if isinstance(stage, FilterFunction):
        return f"compose({_function_name(stage.f)})"
    if is_dataclass(stage) and type(stage).__module__.startswith("asyncwds."):
        functions = ", ".join(map(_function_name, _functions(stage)))
        return method_name(type(stage).__name__) + (f"({functions})" if functions else "")
    return _function_name(stage)


def _functions(stage: Any) -> Sequence[Any]:
    name = first_field(stage)
    first = None if name in (None, "handler") else getattr(stage, str(name))
    return [each for each in (first if isinstance(first, tuple) else (first,)) if callable(each)]


def _function_name(function: Any) -> str:
    return str(getattr(getattr(function, "func", function), "__name__", type(function).__name__)).lstrip("_")
