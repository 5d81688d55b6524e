"""From shards to shards: what `cat`, `split`, `filter` and others have in common."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from typing import Any

from asyncwds.errors import SampleError
from asyncwds.runtime.blocking import BlockingPool
from asyncwds.tar.raw import RawSample
from asyncwds.tar.raw_runs import RawRun
from asyncwds.tools.inputs import ErrorPolicy, Inputs, read_raw, read_runs
from asyncwds.tools.outputs import Outputs, ShardOutputs
from asyncwds.tools.report import Report
from asyncwds.tools.selection import Selection

DAMAGED = "damaged"


Read = Callable[[Inputs, Report], Generator[RawSample, None, None]]


def select(inputs: Inputs, selection: Selection, report: Report, read: Read = read_raw) -> Generator[RawSample, None, None]:
    """The samples that are wanted, in order; the others are counted in the report. To be closed. `read` says what samples are."""
    chooser = selection.open(report, inputs.access)
    errors = ErrorPolicy(inputs, report)
    if chooser.has_finished():
        return
    with closing(read(inputs, report)) as samples:
        for sample in samples:
            try:
                chosen = chooser.choose(sample)
            except SampleError as error:
                report.dropped[DAMAGED] += 1
                if not errors.handle(error):
                    return
                continue
            if chosen is not None:
                yield chosen
            if chooser.has_finished():
                return


def select_runs(inputs: Inputs, selection: Selection, report: Report) -> Generator[RawSample | RawRun, None, None]:
    """The same for what copies samples as they are: in runs, if all are wanted."""
    return read_runs(inputs, report) if selection.is_everything else select(inputs, selection, report)


def write_all(samples: Iterable[RawSample | RawRun], outputs: Outputs, report: Report, run: Any = None) -> Report:
    """Writes samples to the shards of one output, and checks that none was lost. `run` describes what they depend on, to resume."""
    journal = outputs.journal(run)
    with BlockingPool("copy") as pool, ShardOutputs(outputs, report, pool, journal=journal) as writer:
        for sample in samples:
            writer.write(sample)
    return report.check()


def describe_run(command: str, inputs: Inputs, selection: Selection, *options: Any) -> Any:
    """All that the samples of a run depend on, for its journal."""
    return [command, inputs.shards(), inputs.mix, inputs.on_error, repr(selection), *options]
