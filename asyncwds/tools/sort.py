"""`sort`: all samples in the order of a value, however many there are; and members that stand apart, brought together."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from typing import Any, Literal

from asyncwds import checks
from asyncwds.errors import SampleError
from asyncwds.tar.raw import RawSample
from asyncwds.tools.copying import describe_run, select, write_all
from asyncwds.tools.expressions import parse
from asyncwds.tools.external_sort import sort_raw
from asyncwds.tools.inputs import Inputs
from asyncwds.tools.outputs import Outputs
from asyncwds.tools.report import Report
from asyncwds.tools.selection import Selection

JOINED = "joined with others of their key"

Kind = Literal["str", "int", "float"]


def sort_samples(
    inputs: Inputs,
    outputs: Outputs,
    selection: Selection | None = None,
    *,
    by: str = "key",
    kind: Kind = "str",
    reverse: bool = False,
    regroup: bool = False,
    folder: str | None = None,
) -> Report:
    """Copies the samples that are wanted in the order of a value; those with the same one keep their order, and all are kept.

    by        "key", or an expression such as "json.width"; samples without it come last
    kind      how values are compared: as text by its code points, or as numbers
    regroup   samples with the same key become one, unless they have a field in common: members that stood apart. The report counts
              them as dropped, being joined. Only `by` key
    folder    where runs are kept meanwhile, `inputs.memory` bytes at a time

    Raises SpecError, FetchError, TarError, SampleError; what was being written is dropped then.
    """
    checks.one_of("kind", kind, ("str", "int", "float"))
    checks.require(not regroup or by == "key", "members are brought together by their key")
    selection = selection or Selection()
    report = Report()
    run = describe_run("sort", inputs, selection, by, kind, reverse, regroup) if outputs.resume else None
    with closing(select(inputs, selection, report)) as samples:
        in_order = sort_raw(samples, _value_of(by, kind, reverse=reverse), memory=inputs.memory, reverse=reverse, folder=folder)
        with closing(in_order):  # type: ignore[type-var]
            return write_all(_joined(in_order, report) if regroup else in_order, outputs, report, run)


def _value_of(by: str, kind: Kind, *, reverse: bool) -> Callable[[RawSample], Any]:
    """Values that have an order, with a mark before them that puts what is missing last."""
    expression = None if by == "key" else parse(by)
    there, missing = (1, 0) if reverse else (0, 1)
    nothing: Any = "" if kind == "str" else 0

    def value(sample: RawSample) -> tuple[int, Any]:
        found = sample.key if expression is None else expression.value(sample)
        if found is None or (isinstance(found, float) and math.isnan(found)):
            return missing, nothing
        if isinstance(found, bytes):
            found = found.decode("utf-8", "surrogateescape")
        if kind == "str":
            return there, str(found)
        try:
            number = int(found) if kind == "int" else float(found)
        except (TypeError, ValueError, OverflowError) as error:
            message = f"{by} is {str(found)[:80]!r}, which is no number"
            raise SampleError(message, url=sample.url, offset=sample.offset, key=sample.key) from error
        return there, number

    return value


def _joined(samples: Iterable[RawSample], report: Report) -> Iterator[RawSample]:
    """Samples with the same key, which stand side by side, as one, as far as they have no field in common."""
    last: RawSample | None = None
    for sample in samples:
        if last is not None and last.key == sample.key and not last.fields().keys() & sample.fields().keys():
            last = last._replace(members=last.members + sample.members)
            report.dropped[JOINED] += 1
            continue
        if last is not None:
            yield last
        last = sample
    if last is not None:
        yield last
