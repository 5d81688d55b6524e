"""`filter`: the samples that are wanted, and a report of what was dropped, and why."""

from __future__ import annotations

from contextlib import closing

from asyncwds.tools.by_shard import is_by_shard, require_one_job, run_by_shard
from asyncwds.tools.copying import describe_run, select, write_all
from asyncwds.tools.inputs import Inputs
from asyncwds.tools.outputs import Outputs
from asyncwds.tools.report import Report
from asyncwds.tools.selection import Selection


def filter_samples(inputs: Inputs, outputs: Outputs, selection: Selection, *, jobs: int = 1) -> Report:
    """Copies the samples that are wanted, in order, byte for byte. With `Outputs(target=None, dry_run=True)` it only counts.
    `jobs` shards are worked on at once, in processes, where each has outputs of its own: see `asyncwds.tools.by_shard`.

    Raises SpecError, FetchError, TarError, SampleError; what was being written is dropped then.
    """
    if is_by_shard(inputs, outputs, selection, jobs):
        return run_by_shard(filter_samples, inputs, outputs, selection, jobs=jobs, run=["filter"])
    require_one_job(outputs, jobs)
    report = Report()
    with closing(select(inputs.copied_to(outputs.target), selection, report)) as samples:
        return write_all(samples, outputs, report, describe_run("filter", inputs, selection) if outputs.resume else None)
