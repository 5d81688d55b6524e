"""From each sample none, one or several: what `proc`, `map` and `video split` have in common."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from asyncwds.errors import SampleError
from asyncwds.tar.raw import RawSample
from asyncwds.tools.copying import DAMAGED
from asyncwds.tools.inputs import ErrorPolicy, Inputs
from asyncwds.tools.report import Report

Outcome = Sequence[RawSample] | SampleError
"""What a sample became, or why that failed."""


def take_outcomes(
    outcomes: Iterable[tuple[RawSample, Outcome]], inputs: Inputs, report: Report, nothing: str
) -> Iterator[RawSample]:
    """What the samples became. Those that became nothing are dropped for this reason; `inputs.on_error` decides about errors."""
    errors = ErrorPolicy(inputs, report)
    for _, outcome in outcomes:
        if isinstance(outcome, SampleError):
            goes_on = errors.handle(outcome)
            report.dropped[DAMAGED] += 1
            if not goes_on:
                return
        elif not outcome:
            report.dropped[nothing] += 1
        else:
            report.made += len(outcome) - 1
            yield from outcome


def placed(error: SampleError, sample: RawSample) -> SampleError:
    """The error with the place of the sample."""
    return SampleError(error.message, url=sample.url, offset=sample.offset, key=sample.key)
