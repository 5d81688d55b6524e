"""Calls a stage's function for its items: as they are asked for, or ahead of that by workers, with the same outcome.

A stage is a loop that takes an item and asks for its result. With workers, the items that it takes have been worked on already,
and asking for the result gives that, or raises what the call raised. So a stage treats errors, handlers and lineage alike
whatever the number of workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from random import Random
from typing import Any

from asyncwds.parallel.coroutines import WorkerCoroutines
from asyncwds.parallel.ordered import Failure, OrderedCalls, Task, Workers
from asyncwds.parallel.sizing import AT_ONCE, MOST_IN_TASK, available_cores, payload_bytes
from asyncwds.parallel.threads import WorkerThreads
from asyncwds.pipeline.context import RunContext, close_generator
from asyncwds.pipeline.item_functions import ItemFunction, NumberOfWorkers
from asyncwds.pipeline.lineage import SampleTrace, trace_of
from asyncwds.pipeline.protocol import Stream
from asyncwds.pipeline.within import plain
from asyncwds.runtime.recorder import Recorder
from asyncwds.runtime.worker_info import WorkerInfo, item_rng
from asyncwds.samples import Sample

Draw = Callable[[tuple[int, ...]], Random]

# A sample, which tells by itself where it came from, or another item with that and its number in the stage.
Entry = Sample | tuple[Any, tuple[SampleTrace, ...], int]


class Entries:
    """The items of a source, each with where it came from."""

    def __init__(self, source: Stream, context: RunContext) -> None:
        self._source = source
        self._number = context.taken - 1

    @property
    def taken(self) -> int:
        return self._number + 1

    def __iter__(self) -> Iterator[Entry]:
        source = self._source
        for item in source:
            self._number += 1
            if isinstance(item, Sample) and hasattr(item, "_origin"):
                yield item
            else:
                yield item, trace_of(item, source), self._number


def item_of(entry: Entry) -> Any:
    return entry if isinstance(entry, Sample) else entry[0]


def _payload(entry: Entry) -> int:
    return payload_bytes(entry if isinstance(entry, Sample) else entry[0])


def call_for(function: ItemFunction, context: RunContext) -> Callable[[Entry], Any]:
    """What gives the function's result for an entry, or what is to be awaited for it."""
    call = function.call
    if function.seeded:
        return partial(_call_seeded, call, partial(item_rng, context.seed, context.epoch), context.worker_info)
    return lambda entry: call(entry if isinstance(entry, Sample) else entry[0])


def _call_seeded(call: Callable[..., Any], draw: Draw, place: WorkerInfo, entry: Entry) -> Any:
    if isinstance(entry, Sample):
        return call(entry, rng=draw(plain(entry._origin)))  # noqa: SLF001 - an Origin would take 0.2 us more
    item, traces, number = entry
    origins = [origin for _, _, origin in traces if origin is not None]
    if not origins or len(origins) < len(traces):  # of what was not made of samples of shards, its number here
        return call(item, rng=draw((place.rank, place.worker, number)))
    return call(item, rng=draw(tuple([part for origin in origins for part in plain(origin)])))


class SeededCalls:
    """Calls without workers that take random numbers."""

    def __init__(self, function: ItemFunction, source: Stream, context: RunContext) -> None:
        self._call = call_for(function, context)
        self._entries = Entries(source, context)
        self._entry: Entry = Sample()

    def items(self) -> Iterator[Any]:
        for entry in self._entries:
            self._entry = entry
            yield item_of(entry)

    def result(self, _: Any) -> Any:
        return self._call(self._entry)

    def state(self) -> dict[str, Any]:
        return {"held": [], "taken": self._entries.taken}


class TaskRows:
    """What workers of a stage do, in a trace: a row for each."""

    def __init__(self, recorder: Recorder, stage: str) -> None:
        self._recorder = recorder
        self._stage = stage
        self._rows: dict[int, str] = {}
        self._numbers = count(1)

    def add(self, worker: int, began: float, task: Task) -> None:
        row = self._rows.get(worker)
        if row is None:
            row = self._rows[worker] = f"{self._stage} {next(self._numbers)}"
        self._recorder.span(row, self._stage, began, began + task.seconds, items=task.items)


class ParallelCalls:
    """Calls ahead by workers, which start when the first item is asked for. Between the source of a stage and its loop."""

    def __init__(self, function: ItemFunction, source: Stream, context: RunContext, workers: NumberOfWorkers) -> None:
        self._function = function
        self._source = source
        self._context = context
        self._number = workers or 1
        self._entries = Entries(source, context)
        self._ordered: OrderedCalls | None = None
        self._items: Iterator[Any] = iter(())
        self._outcome: Any = None
        self._traces: tuple[SampleTrace, ...] = ()
        self._interrupted = False

    def __iter__(self) -> Iterator[Any]:
        self._items = self._given()
        return self._items

    def __next__(self) -> Any:
        return next(self._items)

    def _given(self) -> Iterator[Any]:
        ordered = self._ordered = self._start()
        if self._interrupted:  # meanwhile, by another thread
            ordered.interrupt()
        for task in ordered:
            entries, outcomes = task.entries, task.outcomes
            while entries:
                self._outcome, entry = outcomes.popleft(), entries.popleft()
                if isinstance(entry, Sample):
                    yield entry
                else:
                    item, self._traces, _ = entry
                    yield item
            self._outcome = None  # or the latest of a source that is slow would be kept until there is another

    def _start(self) -> OrderedCalls:
        function, context = self._function, self._context
        call = call_for(function, context)
        trace = None if context.counters.trace is None else TaskRows(context.counters.trace, context.stage).add
        workers: Workers = WorkerCoroutines(call, trace) if function.asynchronous else WorkerThreads(call, trace)
        cores = max(1, available_cores() // context.worker_info.num_workers)
        return OrderedCalls(
            workers,
            iter(self._entries),
            _payload,
            self._number,
            AT_ONCE if function.asynchronous else cores,
            self._note,
            1 if function.asynchronous else MOST_IN_TASK,
        )

    def _note(self, number: int, why: str) -> None:
        counters, stage = self._context.counters, self._context.stage
        counters.parallel[stage] = number
        counters.reasons[stage] = f"{number}: {why}"

    def result(self, _: Any) -> Any:
        """Of the item that was given last."""
        if type(self._outcome) is not Failure:
            return self._outcome
        outcome, self._outcome = self._outcome, None  # which the error's traceback would lead to
        try:
            raise outcome.error
        finally:
            del outcome

    def lineage(self) -> tuple[SampleTrace, ...]:
        return self._traces

    def state(self) -> dict[str, Any]:
        """The items in flight."""
        held = self._ordered.held() if self._ordered is not None else []
        return {
            "held": [entry if isinstance(entry, Sample) else entry[1] for entry in held],
            "taken": self._entries.taken - len(held),
        }

    def interrupt(self) -> None:
        self._interrupted = True
        self._source.interrupt()
        if self._ordered is not None:
            self._ordered.interrupt()

    def close(self) -> None:
        try:
            close_generator(self._items)
            if self._ordered is not None:
                self._ordered.close()
        finally:
            self._source.close()
