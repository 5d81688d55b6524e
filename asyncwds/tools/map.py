"""`map`: a Python function for each sample, or for batches of them."""

from __future__ import annotations

import inspect
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from typing import Any

from asyncwds import checks
from asyncwds.errors import SampleError, redact
from asyncwds.formatting.texts import plural
from asyncwds.tar.raw import RawSample
from asyncwds.tools.becoming import Outcome, placed, with_sole_fields, write_outcomes
from asyncwds.tools.by_shard import is_by_shard, run_by_shard
from asyncwds.tools.copying import describe_run, select
from asyncwds.tools.inputs import Inputs
from asyncwds.tools.making import SampleMaker
from asyncwds.tools.outputs import Outputs
from asyncwds.tools.processing.function import Call, Plain, Result, as_plain, load_function
from asyncwds.tools.processing.running import Workers, call_each, call_each_in_processes
from asyncwds.tools.report import Report
from asyncwds.tools.selection import Selection

AT_A_TIME = 16
"""Samples that a process gets at once, where the function takes one: each message costs 0.1 ms."""


def map_samples(
    inputs: Inputs,
    outputs: Outputs,
    function: str,
    selection: Selection | None = None,
    *,
    workers: Workers | None = None,
    jobs: int = 1,
    batch: int | None = None,
    devices: Sequence[str] = (),
) -> Report:
    """Writes what a function makes of the samples that are wanted: None, a sample, or several of each.

    function   "module:function" or "file.py:function": gets a dict of `__key__`, `__url__` and the bytes of fields, and its values
               are encoded by their names. A coroutine function is called for `jobs` samples at once, on one loop
    workers    it is called in threads of this process, or in processes, so many at a time; "async" is for coroutine functions
               only. None is processes where each shard has outputs of its own, see `asyncwds.tools.by_shard`, and threads
               elsewhere
    batch      it gets a list of so many samples, and returns a list of what each became
    devices    it gets one of these as its argument `device`, each call the next one

    Members that the function does not change are copied byte for byte; one that it leaves out is left out.
    Raises SpecError, FetchError, TarError, and SampleError for what the function raises, unless `inputs.on_error` passes that over.
    """
    checks.whole("jobs", jobs, 1)
    checks.one_of("workers", workers, ("thread", "process", "async", None))
    if batch is not None:
        checks.whole("batch", batch, 1)
    is_asynchronous = inspect.iscoroutinefunction(load_function(function))
    checks.require(workers != "async" or is_asynchronous, f"{function} is no coroutine function, which workers='async' is for")
    is_coroutine = batch is None and is_asynchronous
    selection = selection or Selection()
    if is_by_shard(inputs, outputs, selection, jobs):
        over_shards = workers == "process" or (workers is None and not is_coroutine)
        tool = partial(map_samples, function=function, workers="thread" if over_shards else workers, batch=batch)
        tools = [partial(tool, devices=turn) for turn in _turns(devices)]
        return run_by_shard(tools, inputs, outputs, selection, jobs=jobs, run=["map", function, batch], in_processes=over_shards)
    report = Report()
    size = batch or (jobs if is_coroutine else AT_A_TIME if workers == "process" else 1)
    calls = [Call(function, batch is not None, device) for device in devices or (None,)]
    run = describe_run("map", inputs, selection, function, batch) if outputs.resume else None

    def call(wanted: Iterator[RawSample], first: int) -> Generator[tuple[RawSample, Outcome], None, None]:
        tasks = _tasks(wanted, size, islice(cycle(calls), first // size % len(calls), None))
        at_once = 1 if is_coroutine else jobs
        if workers == "process":
            return _outcomes(call_each_in_processes(_Task.run, tasks, at_once, str))
        return _outcomes(call_each(_Task.run, tasks, at_once))

    with (
        closing(select(inputs, selection, report)) as selected,
        closing(with_sole_fields(selected, inputs, report, taken=("__key__", "__url__"))) as samples,
    ):
        reason = "the function returned None"
        return write_outcomes(call, samples, inputs, outputs, report, nothing=reason, run=run, together=size)


def _turns(devices: Sequence[str]) -> list[list[str]]:
    """Each process begins with another one."""
    return [[*devices[first:], *devices[:first]] for first in range(len(devices) or 1)]


@dataclass
class _Task:
    """Samples, and the call that is made for them. What is sent to a process is the call and plain samples."""

    call: Call
    plain: list[Plain]
    samples: list[RawSample]

    def run(self) -> list[Result]:
        return self.call(self.plain)

    def __str__(self) -> str:
        return f"{plural(len(self.samples), 'sample')} of {redact(self.samples[0].url)} from key {self.samples[0].key!r} on"

    def __getstate__(self) -> tuple[Call, list[Plain]]:
        return self.call, self.plain

    def __setstate__(self, state: tuple[Call, list[Plain]]) -> None:
        self.call, self.plain = state
        self.samples = []


def _tasks(samples: Iterator[RawSample], size: int, calls: Iterator[Call]) -> Generator[_Task, None, None]:
    while group := list(islice(samples, size)):
        yield _Task(next(calls), [as_plain(sample) for sample in group], group)


def _outcomes(results: Generator[tuple[_Task, list[Result]], None, None]) -> Generator[tuple[RawSample, Outcome], None, None]:
    make = SampleMaker()
    with closing(results):
        for task, made in results:
            for sample, plain, result in zip(task.samples, task.plain, made, strict=True):
                yield sample, _outcome(make, sample, plain, result)


def _outcome(make: SampleMaker, sample: RawSample, plain: Plain, result: Result) -> Outcome:
    if isinstance(result, SampleError):
        return placed(result, sample)
    try:
        return [_as_raw(make, sample, plain, one) for one in result]
    except SampleError as error:
        return placed(error, sample)


def _as_raw(make: SampleMaker, sample: RawSample, plain: Plain, result: Mapping[str, Any]) -> RawSample:
    """In the order that the fields had, new ones behind them."""
    had = sample.fields() if result["__key__"] == sample.key else {}
    same = {name for name in had if name in result and _is_same(result[name], plain[name])}
    new = {name: value for name, value in result.items() if name not in same and not name.startswith("_")}
    if not new and same:
        return sample._replace(members=tuple(member for name, member in had.items() if name in same))
    made = make({"__key__": result["__key__"], **new}, sample.url, sample.ordinal)
    members = made.fields() | {name: had[name] for name in same}
    order = [*(name for name in had if name in members), *(name for name in members if name not in had)]
    return made._replace(members=tuple(members[name] for name in order))


def _is_same(value: Any, data: bytes) -> bool:
    return isinstance(value, bytes) and value == data
