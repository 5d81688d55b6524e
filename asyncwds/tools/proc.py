"""`proc`: a command of the shell for each sample."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from functools import partial

from asyncwds import checks
from asyncwds.errors import SampleError
from asyncwds.tar.raw import RawSample
from asyncwds.tools.becoming import Outcome, with_sole_fields, write_outcomes
from asyncwds.tools.by_shard import is_by_shard, run_by_shard
from asyncwds.tools.copying import describe_run, select
from asyncwds.tools.inputs import Inputs, read_raw
from asyncwds.tools.outputs import Outputs
from asyncwds.tools.processing.command import Command, CommandRunner
from asyncwds.tools.processing.lines import read_lines
from asyncwds.tools.processing.running import call_each
from asyncwds.tools.report import Report
from asyncwds.tools.selection import Selection


def proc_samples(
    inputs: Inputs,
    outputs: Outputs,
    command: Command,
    selection: Selection | None = None,
    *,
    jobs: int = 1,
    ordered: bool = True,
    lines: bool = False,
) -> Report:
    """Writes what a command makes of the samples that are wanted: of each none, one or several. It works on `jobs` at a time, in
    processes where each shard has outputs of its own: see `asyncwds.tools.by_shard`.

    With `ordered` samples come out in the order in which they went in. With `lines` the inputs are text files, of which each line
    is a sample: see `asyncwds.tools.processing.lines`.
    Raises SpecError, FetchError, TarError, and SampleError where the command fails, unless `inputs.on_error` passes that over.
    """
    checks.whole("jobs", jobs, 1)
    selection = selection or Selection()
    if is_by_shard(inputs, outputs, selection, jobs):
        tool = partial(proc_samples, command=command, ordered=ordered, lines=lines)
        return run_by_shard(tool, inputs, outputs, selection, jobs=jobs, run=["proc", repr(command), lines])
    checks.require(ordered or not outputs.resume, "what comes in any order cannot be resumed: ordered, or each shard by itself")
    report = Report()
    runner = CommandRunner(command)
    run = describe_run("proc", inputs, selection, repr(command), lines) if outputs.resume else None

    def outcome(sample: RawSample) -> Outcome:
        try:
            return runner(sample)
        except SampleError as error:
            return error

    def call(wanted: Iterator[RawSample], _: int) -> Generator[tuple[RawSample, Outcome], None, None]:
        return call_each(outcome, wanted, jobs, stop=runner.stop, ordered=ordered)

    with (
        closing(select(inputs, selection, report, read_lines if lines else read_raw)) as selected,
        closing(with_sole_fields(selected, inputs, report)) as samples,
    ):
        return write_outcomes(call, samples, inputs, outputs, report, nothing="the command left nothing", run=run)
