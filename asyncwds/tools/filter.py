"""`filter`: the samples that are wanted, and a report of what was dropped, and why."""

from __future__ import annotations

from contextlib import closing

from asyncwds.tools.copying import describe_run, select, write_all
from asyncwds.tools.inputs import Inputs
from asyncwds.tools.outputs import Outputs
from asyncwds.tools.report import Report
from asyncwds.tools.selection import Selection


def filter_samples(inputs: Inputs, outputs: Outputs, selection: Selection) -> Report:
    """Copies the samples that are wanted, in order, byte for byte. With `Outputs(target=None, dry_run=True)` it only counts.

    Raises SpecError, FetchError, TarError, SampleError; what was being written is dropped then.
    """
    report = Report()
    with closing(select(inputs, selection, report)) as samples:
        return write_all(samples, outputs, report, describe_run("filter", inputs, selection) if outputs.resume else None)
