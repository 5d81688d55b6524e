"""`join`: fields of other shards, or columns of a table, added by key."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, Literal

from asyncwds import checks
from asyncwds.errors import SampleError
from asyncwds.tar.raw import RawSample
from asyncwds.tools.by_shard import is_by_shard, run_by_shard
from asyncwds.tools.copying import DAMAGED, describe_run, select, write_all
from asyncwds.tools.expressions import parse
from asyncwds.tools.inputs import ErrorPolicy, Inputs
from asyncwds.tools.joining.lookup import Lookup
from asyncwds.tools.joining.sides import Added, OtherSide, add_fields, size_of
from asyncwds.tools.making import SampleMaker
from asyncwds.tools.outputs import Outputs
from asyncwds.tools.report import Report
from asyncwds.tools.selection import Chooser, Selection

How = Literal["inner", "left"]
Conflict = Literal["fail", "left", "right"]


def join_shards(
    inputs: Inputs,
    other: OtherSide,
    outputs: Outputs,
    selection: Selection | None = None,
    *,
    on: str = "key",
    how: How = "inner",
    conflict: Conflict = "fail",
) -> Report:
    """Adds to each sample what the other side has for its key, and writes it.

    on         "key", or an expression of samples, such as "json.uid"
    how        samples that the other side has nothing for are dropped ("inner") or kept as they are ("left")
    conflict   a field that both have: "fail" raises SampleError, or the one of this side is taken

    Where each shard has an output of its own (see `asyncwds.tools.by_shard`), they are joined one after the other.
    Where both sides have the same order, no more than a sample of each is held; what comes earlier on the other side waits, of it
    `inputs.memory` [bytes] in memory and the rest in a temporary file. What the other side has and no sample asked for is reported.
    `selection.where`, `py`, `fields`, `drop`, `rename` and `limit` are about what was joined.
    Raises SpecError, FetchError, TarError, and SampleError also for a key that comes twice on a side.
    """
    checks.one_of("how", how, ("inner", "left"))
    checks.one_of("conflict", conflict, ("fail", "left", "right"))
    selection = selection or Selection()
    options = [repr(other), on, how, conflict]
    with closing(other.read(inputs)) as added, Lookup(added, inputs.memory, size_of) as lookup:
        join = _Join(lookup, on, how, conflict)
        if is_by_shard(inputs, outputs, selection, 1):
            report = run_by_shard(join, inputs, outputs, selection, jobs=1, run=["join", *options])
        else:
            run = describe_run("join", inputs, selection, *options) if outputs.resume else None
            report = join(inputs=inputs, outputs=outputs, selection=selection, run=run)
        if join.samples < report.samples_in:
            report.notes["of the other side"] = "not known which no sample asked for: some shards were joined by an earlier run"
        elif left := lookup.count_left():
            report.left_out["of the other side, which no sample asked for"] += left
    return report


@dataclass
class _Join:
    """Joins the samples of shards with one lookup. `samples` is the number of those that were read."""

    lookup: Lookup[Added]
    on: str
    how: How
    conflict: Conflict
    samples: int = 0

    def __call__(self, *, inputs: Inputs, outputs: Outputs, selection: Selection, jobs: int = 1, run: Any = None) -> Report:  # noqa: ARG002
        before = replace(selection, where=None, py=None, fields=None, drop=None, rename=None, limit=None)
        after = replace(selection, slice=None, keys=None, exclude_keys=None, sample=None)
        report = Report()
        with (
            closing(select(inputs, before, report)) as samples,
            closing(_joined(_keyed(samples, self.on), self.lookup, self.how, self.conflict, report)) as joined,
            closing(_chosen(joined, after.open(report, inputs.access), inputs, report)) as chosen,
        ):
            write_all(chosen, outputs, report, run)
        self.samples += report.samples_in
        return report


def _keyed(samples: Iterable[RawSample], on: str) -> Iterable[tuple[str, RawSample]]:
    expression = None if on == "key" else parse(on)
    for sample in samples:
        key = sample.key if expression is None else expression.value(sample)
        yield "" if key is None else str(key), sample


def _joined(
    samples: Iterable[tuple[str, RawSample]], lookup: Lookup[Added], how: How, conflict: Conflict, report: Report
) -> Generator[RawSample, None, None]:
    make = SampleMaker()
    for key, sample in samples:
        added = lookup.take(key) if key else None
        if added is not None:
            yield add_fields(make, sample, added, conflict)
        elif how == "left":
            yield sample
        else:
            report.dropped["not on the other side"] += 1


def _chosen(samples: Iterable[RawSample], chooser: Chooser, inputs: Inputs, report: Report) -> Generator[RawSample, None, None]:
    errors = ErrorPolicy(inputs, report)
    for sample in samples:
        try:
            chosen = chooser.choose(sample)
        except SampleError as error:
            errors.handle(error)
            report.dropped[DAMAGED] += 1
            continue
        if chosen is not None:
            yield chosen
        if chooser.has_finished():
            return
